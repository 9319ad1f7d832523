"""The smallest durable program: {"name": "Ann"} in, {"greeting": "Hello, Ann!"} out.

runtara image push hello.py --name hello
runtara start hello --input '{"name": "Ann"}' --wait
"""

from runtara import sdk


async def main(data: dict[str, str]) -> dict[str, str]:
    """What it returns is the output of the instance."""
    return {"greeting": f"Hello, {data['name']}!"}


if __name__ == "__main__":
    sdk.run(main)
