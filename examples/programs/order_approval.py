"""An order that a person has to approve: reserve, ask, wait for days if need be, then charge or let go.

Kill its process, the server or the database wherever you like: it goes on where it was, and charges once.

    runtara image push order_approval.py --name order-approval
    runtara start order-approval --id o-7 --input '{"order_id": "7", "amount": 120.5}'
    runtara signal o-7 approval --payload '{"approved": true, "by": "ann"}'
    runtara status o-7
"""

import msgspec

from runtara import sdk


class Order(msgspec.Struct):
    """The input; an input that does not fit fails the instance with a message that says where."""

    order_id: str
    amount: float
    approval_timeout_s: float = 3 * 24 * 3600.0


class SoldOut(Exception):
    """Trying again would not help: such an error says so itself."""

    category = "permanent"


@sdk.durable(max_retries=5, retry_delay_s=1.0)
async def reserve(order_id: str) -> str:
    """Once it has returned, its result is kept for ever; while it fails, tries and delays survive restarts."""
    if order_id.startswith("rare"):
        raise SoldOut(f"nothing is left for order {order_id}")
    return f"reservation-{order_id}"


@sdk.durable
async def charge(order_id: str, amount: float) -> dict[str, str | float]:
    """A try that died half way is made again, with the same key: so the bank does nothing twice."""
    return {"payment": f"payment-{order_id}", "amount": amount, "key": sdk.idempotency_key()}


async def main(order: Order) -> dict[str, object]:
    """The whole process, as if nothing could ever go wrong in between."""
    try:
        reservation = await reserve(order.order_id)
    except sdk.StepFailed as failure:
        return {"status": "refused", "reason": str(failure)}
    sdk.events.emit("approval.requested", {"amount": order.amount})
    try:
        # A long wait costs a row in the database and no process.
        approval = await sdk.wait_signal("approval", timeout_s=order.approval_timeout_s)
    except sdk.SignalTimeout:
        return {"status": "expired", "reservation": reservation}
    if not approval["approved"]:
        return {"status": "rejected", "by": approval["by"], "reservation": reservation}
    payment = await charge(order.order_id, order.amount)
    return {"status": "paid", "by": approval["by"], "reservation": reservation} | payment


if __name__ == "__main__":
    sdk.run(main)
