"""The other ends of the examples: what comes of them when the world is not as in their files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.support.examples import Example, run_example


@dataclass(frozen=True)
class Otherwise(Example):
    """An example with changes to its input (by dotted path) and to its world, and a part of what comes of it."""

    changes: dict[str, Any] = field(default_factory=dict)
    http: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, Any] | None = None
    llm: list[Any] | None = None
    output: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)

    @property
    def input(self) -> Any:
        document = super().input
        for path, value in self.changes.items():
            *parents, last = path.split(".")
            holder = document
            for parent in parents:
                holder = holder[parent]
            holder[last] = value
        return document

    @property
    def world(self) -> dict[str, Any]:
        world = super().world
        world["http"] = world.get("http", {}) | self.http
        if self.sent is not None:
            world["signals"] = [{"name": name, "payload": payload} for name, payload in self.sent.items()]
        return world if self.llm is None else world | {"llm": self.llm}


DOWN: Final = {"status": 503}
NO: Final = {"status": 409}

TABLE: Final = [
    Otherwise(
        "appointment-reminder",
        changes={"visit.at": "2026-01-01T08:00:00Z"},
        output={"visit": "01.01.2026 09:00", "message": None},
    ),
    Otherwise("backup-rotation", http={"POST /backups": DOWN, "POST /alarms": {}}, error={"code": "BACKUP_FAILED"}),
    Otherwise(
        "canary-rollout",
        http={"GET /health/v42": {"body": {"error_rate": 0}}},
        output={"status": "released", "percent": 100},
    ),
    Otherwise(
        "card-payment",
        http={"POST /charges": DOWN, "POST /queue": {"body": {"ticket": "q1"}}},
        output={"status": "queued", "ticket": "q1"},
    ),
    Otherwise("card-payment", http={"POST /charges": {"body": {"id": "ch_1"}}}, output={"status": "paid"}),
    Otherwise(
        "card-payment",
        http={"POST /charges": {"status": 422}},
        error={"code": "PAYMENT_UNCLEAR", "context": {"code": "HTTP_ERROR", "status": "422"}},
    ),
    Otherwise(
        "claim-documents",
        changes={"amount": 20},
        http={"POST /claims/CL-3/settlement": {}},
        output={"handled_by": "automatic"},
    ),
    Otherwise("claim-documents", changes={"amount": 20_000}, output={"handled_by": "expert"}),
    Otherwise("claim-documents", sent={}, output={"handled_by": "nobody", "because": "WAIT_TIMEOUT"}),
    Otherwise(
        "contract-signing",
        sent={f"sign[{number}]/signature": {"signed_by": "X", "digest": "forged"} for number in range(3)},
        http={"DELETE /invitations": {}},
        output={"status": "not signed", "because": "SIGNATURE_OF_OTHER_TEXT", "party": 0},
    ),
    Otherwise("contract-signing", sent={}, http={"DELETE /invitations": {}}, output={"because": "WAIT_TIMEOUT"}),
    Otherwise("currency-conversion", changes={"quote.currency": "JPY"}, error={"code": "INPUT_INVALID"}),
    Otherwise(
        "currency-conversion",
        http={"GET /latest": {"body": {"rates": {}}}},
        error={"code": "RATE_MISSING", "context": {"currency": "EUR"}},
    ),
    Otherwise(
        "customer-360",
        http={"GET /tickets": {"body": {"tickets": [{"status": "new"}, {"status": "closed"}]}}},
        output={"open_tickets": 1, "gap": None},
    ),
    Otherwise("error-log-digest", http={"GET /logs/tonight.txt": {"text": "all is well"}}, output={"errors": 0}),
    Otherwise("expense-report", sent={"manager": {"accept": True}}, output={"status": "paid", "amount": 256.7}),
    Otherwise("expense-report", sent={}, output={"status": "not paid"}),
    Otherwise("file-checksum", changes={"sha256": "0" * 64}, error={"code": "FILE_DAMAGED", "category": "permanent"}),
    Otherwise("file-checksum", changes={"sha256": "abc"}, error={"code": "INPUT_INVALID"}),
    Otherwise(
        "fraud-screening",
        http={"GET /customers/C-9": {"body": {"orders": 12, "chargebacks": 0}}},
        output={"decision": "pass", "score": 25},
    ),
    Otherwise(
        "fraud-screening",
        http={"GET /customers/C-9": {"body": {"orders": 0, "chargebacks": 2}}, "POST /blocks": {}},
        output={"decision": "stop", "score": 150},
    ),
    Otherwise("fraud-screening", sent={}, output={"decision": "stop", "by": "nobody in time"}),
    Otherwise(
        "invoice-approval", changes={"invoice.amount": 1000}, output={"status": "paid", "comment": "below the limit"}
    ),
    Otherwise(
        "invoice-approval",
        sent={"approval": {"approved": False, "comment": "Paid twice"}},
        http={"POST /rejections": {}},
        output={"status": "rejected", "comment": "Paid twice"},
    ),
    Otherwise("invoice-approval", sent={}, error={"code": "WAIT_TIMEOUT"}),
    Otherwise(
        "invoice-dunning",
        http={"GET /invoices/R-88": {"body": {"status": "open"}}, "POST /collections": {"body": {"case": "X"}}},
        output={"status": "in collection", "case": "X"},
    ),
    Otherwise("lead-routing", changes={"lead.country": "Balnibarbi"}, output={"status": "refused"}),
    Otherwise("lead-routing", changes={"lead.email": "none"}, output={"status": "refused"}),
    Otherwise("lead-routing", changes={"lead.employees": 3}, http={"POST /trials": {}}, output={"route": "small"}),
    Otherwise("lead-routing", changes={"lead.employees": 5000}, http={"POST /visits": {}}, output={"route": "large"}),
    Otherwise(
        "lead-routing",
        changes={"lead.employees": None},
        http={"POST /research": {}},
        output={"route": "default", "team": "research"},
    ),
    Otherwise("newsletter-opt-in", sent={}, output={"status": "expired"}),
    Otherwise("newsletter-opt-in", sent={"confirmed": {"token": "0" * 64}}, error={"code": "TOKEN_FORGED"}),
    Otherwise("order-fulfilment", changes={"order.lines": []}, error={"code": "INPUT_INVALID"}),
    Otherwise("overdue-report", http={"GET /ledger/invoices": {"body": {"invoices": []}}}, output={"rows": 0}),
    Otherwise("sla-escalation", sent={"first_line": {"agent": "Jean"}}, output={"taken_by": "Jean", "escalated": 0}),
    Otherwise("sla-escalation", sent={"lead": {"agent": "Betty"}}, output={"taken_by": "Betty", "escalated": 1}),
    Otherwise("stock-replenishment", http={"GET /stock": {"body": []}}, output={"articles": 0, "orders": []}),
    Otherwise(
        "subscription-renewal",
        http={"POST /charges": {"status": 402}, "DELETE /subscriptions/sub_5": {}},
        output={"status": "ended"},
    ),
    Otherwise(
        "support-triage",
        llm=["this is no JSON"],
        http={"POST /tickets/T-77/assignee": {}},
        output={"result": "left to a person"},
    ),
    Otherwise(
        "support-triage",
        llm=['{"category": "spam", "priority": "low", "reply": ""}'],
        output={"result": "dropped", "turns": 1, "tools": []},
    ),
    Otherwise(
        "travel-booking", http={"POST /cars": {"body": {"id": "CA-1"}}}, output={"status": "booked", "car": "CA-1"}
    ),
    Otherwise("travel-booking", http={"POST /flights": NO}, output={"status": "not available", "failed": "flight"}),
    Otherwise("travel-booking", http={"POST /hotels": NO}, output={"failed": "hotel", "cancelled": ["flight"]}),
    Otherwise("webhook-fan-out", http={"POST /hooks/old-bi": {}}, output={"failed": 0, "of": 5}),
]


@pytest.mark.parametrize("otherwise", TABLE, ids=lambda otherwise: otherwise.name)
async def test_an_example_comes_to_its_other_ends(otherwise: Otherwise) -> None:
    result, _ = await run_example(otherwise)
    assert result.status == ("failed" if otherwise.error else "completed"), result.error or result.output
    found = result.error if otherwise.error else result.output
    wanted = otherwise.error or otherwise.output
    assert found is not None
    assert {name: found.get(name) for name in wanted} == wanted
