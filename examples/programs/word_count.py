"""A plain, blocking program: count words text by text, and rest between them.

The connection to the server lives on a thread of its own, so nothing here has to know of asyncio, and a computation
that takes minutes is not taken for dead.

    runtara image push word_count.py --name word-count
    runtara start word-count --input '{"texts": ["to be or not to be", "that is the question"]}' --wait
"""

from collections import Counter

from runtara.sdk import sync as sdk


@sdk.durable
def count(text: str) -> dict[str, int]:
    """Never computed twice for the same place in the list, whatever happens to the process."""
    return dict(Counter(text.lower().split()))


def main(data: dict[str, list[str]]) -> dict[str, int]:
    """Count all, resting after each."""
    total: Counter[str] = Counter()
    for text in data["texts"]:
        total.update(count(text))
        sdk.events.emit("counted", {"words": total.total()})
        sdk.sleep(0.05)
    return dict(total.most_common())


if __name__ == "__main__":
    sdk.run(main)
