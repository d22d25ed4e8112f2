"""What a schema cannot say: which ids exist, what a cursor looks like, which facts are sealed.

Without this, nearly every generated request would end at the door. Half of the requests that fit the schema get a part
that also fits the business; what fits no schema is sent as it was made.
"""

import atexit
import base64
import collections
import datetime
import itertools
import json
import os
import pathlib
import quopri
import random
import re
import time

import requests
import schemathesis

URL = os.environ["STEWARD_URL"]
SELF = {"Authorization": f"Bearer {os.environ['STEWARD_KEY']}"}
COLLEAGUE = {"Authorization": f"Bearer {os.environ['STEWARD_COLLEAGUE_KEY']}"}
N8N = {"Authorization": f"Bearer {os.environ['STEWARD_N8N_KEY']}"}
MAILS = pathlib.Path(os.environ["STEWARD_MAILS"])
DEAD_END = os.environ["STEWARD_DEAD_END"]
RUN = os.environ["STEWARD_RUN"]

DICE = random.Random(RUN)
COUNTER = itertools.count()
TALLY = collections.defaultdict(collections.Counter)
SKU, STORE, NEAR, ABROAD = "OAT-1", "N1", "N2", "S1"
SUPPLIER, LINE = "acme", "PO-1/1"
MODEL = "replenishment-priority"
POLICY = "default"


def fresh(what):
    return f"{RUN}:{what}:{next(COUNTER)}"


def call(method, path, caller=SELF, **more):
    return requests.request(method, URL + path, headers=caller | more.pop("headers", {}), timeout=20, **more)


def ids(listing, field="id"):
    page = call("GET", listing + "?limit=50")
    return [item[field] for item in page.json().get("items", [])] if page.ok else []


def facts():
    return call("GET", f"/supply/v1/facts/{SKU}/{STORE}").json()


def approval(quantity=6.0, donor=NEAR):
    action = {"type": "transfer", "product": SKU, "from": donor, "to": STORE, "quantity": quantity}
    asks = {"title": "Oats for the store", "action": action, "facts": facts(), "reference": fresh("case")}
    if DICE.random() < 0.3:
        asks["callback"] = {"url": f"{DEAD_END}/resume/{next(COUNTER)}"}
    return asks


def asked(caller, asks=None):
    """The id of a request that waits for people."""
    asks = asks or approval(donor=ABROAD)
    answer = call("POST", "/approvals/v1/approvals", caller, json=asks, headers={"Idempotency-Key": fresh("ask")})
    return answer.json().get("id", "none")


def sent_back():
    """A request of the caller's, sent back by whom it was mailed to."""
    approval_id = asked(SELF)
    for _ in range(40):
        for token in links():
            if approval_id.encode() in base64.urlsafe_b64decode(token.split(".")[0] + "=="):
                form = {"decision": "send_back", "comment": "why?"}
                requests.post(f"{URL}/approvals/decide/{token}", data=form, timeout=20, allow_redirects=False)
                return approval_id
        time.sleep(0.1)
    return approval_id


def overridden():
    """A request that somebody else approved alone."""
    approval_id = asked(N8N)
    why = {"reason": "The truck leaves now.", "ticket": fresh("INC")}
    call("POST", f"/approvals/v1/approvals/{approval_id}/override", COLLEAGUE, json=why)
    return approval_id


def granted():
    """A transfer that the policy passes by itself, with its grant."""
    asks = approval(DICE.choice([1.0, 2.0, 3.0]))
    answer = call("POST", "/approvals/v1/approvals", N8N, json=asks, headers={"Idempotency-Key": fresh("ask")}).json()
    return {"action": asks["action"], "grant": answer.get("grant")}


def links():
    """The newest links that were mailed to people."""
    mails = sorted(MAILS.glob("*.eml"), key=lambda mail: mail.stat().st_mtime)[-20:]
    text = b"".join(quopri.decodestring(mail.read_bytes()) for mail in mails).decode(errors="replace")
    return re.findall(r"/approvals/decide/([A-Za-z0-9_.-]+)", text)


def link():
    known = links()
    return DICE.choice(known) if known else None


def observations():
    at = "2026-01-01T00:00:00Z"
    lines = [{"kind": "location", "location": place, "region": region, "time_zone": "Europe/Berlin"}
             for place, region in ((STORE, "north"), (NEAR, "north"), (ABROAD, "south"))]
    lines += [{"kind": "stock", "product": SKU, "location": place, "on_hand": units, "observed_at": at, "system": "wms"}
              for place, units in ((STORE, 4.0), (NEAR, 500.0), (ABROAD, 500.0))]
    # Of the last weeks: of what is older the model says that it knows too little.
    today = datetime.date.today()
    lines += [{"kind": "sales", "product": SKU, "location": STORE, "day": str(today - datetime.timedelta(days)),
               "units": float(days % 5), "price_share": 0.8 if days % 7 == 0 else 1.0, "advertised": days % 7 == 0}
              for days in range(1, 31)]
    tomorrow = str(today + datetime.timedelta(1))
    lines += [{"kind": "planned_promotion", "product": SKU, "location": STORE, "day": tomorrow, "price_share": 0.8},
              {"kind": "holiday", "location": STORE, "day": tomorrow},
              {"kind": "reorder_point", "product": SKU, "location": STORE, "units": 10.0}]
    lines += [{"kind": "lead_time", "product": SKU, "location": STORE, "days": days, "order": f"P{nth}"}
              for nth, days in enumerate((9.0, 10.0, 11.0, 10.0))]
    money = {"minor": 110, "currency": "EUR"}
    lines += [{"kind": "product", "product": SKU, "category": "Dry", "unit_cost": money, "unit_price": money,
               "salvage_value": money | {"minor": 20}, "unit_volume_litres": 1.5}]
    lines += [{"kind": "xref", "entity": "product", "id": SKU, "system": "odoo", "external_id": SKU}]
    lines += [{"kind": "xref", "entity": "location", "id": place, "system": "odoo", "external_id": place}
              for place in (STORE, NEAR, ABROAD)]
    return lines


def furnish():
    lines = "".join(json.dumps(line) + "\n" for line in observations())
    answer = call("POST", "/supply/v1/observations", data=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.ok and '"problem"' not in answer.text, answer.text
    answer = call("POST", "/scoring/v1/replenishment/score", N8N, json={"facts": facts()}, headers={"Idempotency-Key": fresh("score")})
    assert answer.ok and answer.json()["status"] == "scored", answer.text
    for path, told in (("supplier-risk/deliveries", {"items": [delivery(LINE)]}), ("demand-signal/observations", sold())):
        answer = call("POST", f"/scoring/v1/{path}", N8N, json=told)
        assert answer.ok and '"problem"' not in answer.text, answer.text
    # Several, because a destination that keeps refusing is given a rest.
    for nth in range(6):
        push = {"types": ["steward.exception.opened.v1"], "url": f"{DEAD_END}/push/{nth}"}
        call("POST", "/notify/v1/subscriptions", json=push, headers={"Idempotency-Key": fresh("push")})
    # Asked by n8n about stock abroad, so that people have a link to decide with; and one that dies at its callback.
    for donor in (ABROAD, ABROAD, NEAR, NEAR):
        asks = approval(donor=donor) | {"callback": {"url": f"{DEAD_END}/resume"}}
        answer = call("POST", "/approvals/v1/approvals", N8N, json=asks, headers={"Idempotency-Key": fresh("ask")})
        assert answer.status_code == 201, answer.text


def delegation():
    """For a moment, in the far future: what others decide meanwhile stays as it is."""
    start = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=DICE.randint(100, 3000))
    until = start + datetime.timedelta(seconds=1)
    return {"delegate": "colleague", "starts_at": start.isoformat(), "ends_at": until.isoformat()}


def message():
    data = {"product": "Oats", "from": NEAR, "to": STORE, "quantity": 6, "odoo_name": "WH/INT/1", "projected_available": 9}
    to = {"role": "warehouse", "location": DICE.choice([NEAR, ABROAD])}
    return {"template": "transfer-drafted", "to": to, "data": data}


def cases():
    return [{"request": {"facts": facts()}, "outcome": {"stocked_out": True}}]


def arrived():
    """As many transports as a fit needs, each a little later than planned."""
    step = {"until": "delivered", "place": "hub", "planned_minutes": 60.0}
    asked = lambda n: {"as_of": "2026-01-01T00:00:00Z", "transport": {"id": f"T-{n}", "inbound": [{"steps": [step]}]}}
    return [{"request": asked(n), "outcome": {"inbound": [[55.0 + n % 9]]}} for n in range(130)]


def delivery(line=None):
    day = lambda ago: str(datetime.date.today() - datetime.timedelta(ago))
    ordered = {"id": line or fresh("line"), "supplier": SUPPLIER, "ordered": day(60), "promised": day(30)}
    return {"line": ordered, "received": day(DICE.randint(20, 40))}


def sold():
    """The last days, some of them told before; one grows a series of its own."""
    today = datetime.date.today()
    days = [{"product": SKU, "location": STORE, "day": str(today - datetime.timedelta(ago)), "bucket": {"units": 3.0}}
            for ago in (3, 2, 1)]
    return {"items": days + [days[-1] | {"product": fresh("sku")}]}


def shortage():
    """One shop with plenty, another that will sell out."""
    shops = [{"location": place, "on_hand": units, "demand": {"forecast": {"mean": 8.0, "variance": 8.0}}}
             for place, units in ((STORE, 0), (NEAR, 90))]
    return {"product": SKU, "as_of": "2026-01-01T00:00:00Z", "currency": "EUR", "locations": shops,
            "lanes": [{"from": 1, "to": 0, "unit_cost": 1.0, "capacity": 20}]}


def publication():
    """The shipped parameters under another name: as good as themselves."""
    parameters = call("GET", f"/scoring/v1/models/{MODEL}/versions/1").json()["parameters"]
    return {"parameters": parameters | {"version": f"{RUN}-{next(COUNTER)}"}, "cases": cases()}


def policy_version():
    return call("GET", f"/approvals/v1/policies/{POLICY}/versions").json()["items"][0]["reference"]["version"]


def policy():
    """The latest version under the next number: as good as itself."""
    latest = policy_version()
    document = call("GET", f"/approvals/v1/policies/{POLICY}/versions/{latest}").json()["document"]
    return document | {"version": latest + 1}


# A body that the business takes, by operation.
BODIES = {
    "POST /approvals/v1/approvals": lambda: approval(donor=DICE.choice([NEAR, ABROAD])),
    "POST /approvals/v1/approvals/{id}/comments": lambda: {"text": "hm"},
    "POST /approvals/v1/approvals/{id}/answers": lambda: {"text": "because"},
    "POST /approvals/v1/approvals/{id}/approvers": lambda: {"person": "colleague"},
    "POST /approvals/v1/approvals/{id}/watchers": lambda: {"person": "colleague"},
    "POST /approvals/v1/policies/{id}/versions": policy,
    "POST /approvals/v1/policies/{id}/versions/{version}/activate": lambda: {"reason": "as good as the one before"},
    "POST /approvals/v1/policies/{id}/preview": lambda: {"request": approval(), "version": policy_version()},
    "POST /approvals/v1/policy-simulations": lambda: {"policy": POLICY, "draft": policy()},
    "POST /approvals/v1/delegations": delegation,
    "POST /approvals/v1/approvals/{id}/override": lambda: {"reason": "The truck leaves now.", "ticket": fresh("INC")},
    "POST /approvals/v1/overrides/{id}/review": lambda: {"verdict": "justified", "comment": "It did leave."},
    "POST /approvals/v1/approvals/{id}/revocation": lambda: {"reason": "thought again"},
    "POST /approvals/decide/{token}": lambda: {"decision": "approve", "comment": "hm"},
    "POST /scoring/v1/replenishment/score": lambda: {"facts": facts()},
    "POST /scoring/v1/replenishment/batch": lambda: {"items": [{"facts": facts()}]},
    "POST /scoring/v1/replenishment/stream": lambda: {"facts": facts()},
    "POST /scoring/v1/replenishment/rank": lambda: {"items": [facts()], "budget": {"minor": 90000, "currency": "EUR"}},
    "POST /scoring/v1/models/{name}/cases": lambda: {"set": fresh("set"), "cases": cases()},
    "POST /scoring/v1/models/{name}/versions": publication,
    "POST /scoring/v1/models/{name}/fits": lambda: {"version": fresh("fitted"), "cases": arrived()},
    "POST /scoring/v1/supplier-risk/deliveries": lambda: {"items": [delivery(), delivery()]},
    "POST /scoring/v1/demand-signal/observations": sold,
    "POST /scoring/v1/allocation/plans": shortage,
    "POST /supply/v1/transfers": granted,
    "POST /supply/v1/observations": lambda: DICE.choice(observations()),
    "POST /supply/v1/hooks/odoo": lambda: {"_model": "stock.quant", "_id": DICE.randint(1, 9), "_action": "steward(#1)"},
    "POST /notify/v1/messages": message,
    "POST /notify/v1/subscriptions": lambda: {"types": ["steward.stock.ran_low.v1"], "url": f"{DEAD_END}/{next(COUNTER)}"},
}


@schemathesis.hook
def before_call(ctx, case, kwargs):
    if not TALLY and next(COUNTER) == 0:
        furnish()
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    label = case.operation.label
    # A key names one request. A cursor is opaque, so none that is made up is ours.
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = fresh("key")
    case.query.pop("cursor", None)
    # No client can send the quotes of an entity tag through this tool's coverage cases.
    if "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
    if DICE.random() < 0.4:
        return
    if "id" in case.path_parameters:
        collection = case.path.split("/{id}")[0].replace("/operations", "/dead-letters")
        if known := ids(collection, "approval_id" if collection.endswith("/overrides") else "id"):
            case.path_parameters["id"] = DICE.choice(known)
    if label.endswith(("/decisions", "/approvers", "/override")):
        # Asked by n8n, so that the caller, who is a person, may answer.
        case.path_parameters["id"] = asked(N8N)
    if label.endswith(("/comments", "/watchers")):
        case.path_parameters["id"] = asked(SELF)
    if label.endswith("/review"):
        case.path_parameters["id"] = overridden()
    if label.endswith("/answers"):
        case.path_parameters["id"] = sent_back()
    if label == "PUT /approvals/v1/approvals/{id}":
        before = approval(donor=ABROAD)
        case.path_parameters["id"] = asked(SELF, before)
        before.pop("callback", None)
        case.body = {"request": before | {"title": fresh("another title")}, "comment": "better so"}
    if label.endswith("/revocation"):
        # Passed by the policy, so that there is a grant to take back.
        asks = call("POST", "/approvals/v1/approvals", N8N, json=approval(DICE.choice([1.0, 2.0, 3.0])), headers={"Idempotency-Key": fresh("ask")})
        case.path_parameters["id"] = asks.json().get("id", "none")
    if label.endswith("/evidence"):
        case.query = {}
    if "token" in case.path_parameters and (token := link()):
        case.path_parameters["token"] = token
    if "product" in case.path_parameters:
        case.path_parameters |= {"product": SKU, "location": DICE.choice([STORE, NEAR, ABROAD])}
    if label.endswith("/audit/proofs/inclusion"):
        if known := ids(case.path.replace("/proofs/inclusion", "")):
            case.query = {"id": known[0]}
    if label.endswith("/audit/proofs/consistency"):
        case.query = {"from": DICE.choice([0, 1, 2])}
    if "supplier" in case.path_parameters:
        case.path_parameters["supplier"] = SUPPLIER
    if label == "GET /scoring/v1/supplier-risk/deliveries":
        case.query |= {"supplier": SUPPLIER, "line": LINE}
    if label == "GET /scoring/v1/demand-signal/series/{product}/{location}":
        case.path_parameters["location"] = STORE
        case.query.pop("grain", None)
    if "/models/{name}" in label:
        case.path_parameters["name"] = "shipment-risk" if label.endswith("/fits") else MODEL
    if "/policies/{id}" in label:
        case.path_parameters["id"] = POLICY
        if "version" in case.path_parameters:
            case.path_parameters["version"] = policy_version()
    if label in BODIES:
        case.body = BODIES[label]()


@schemathesis.hook
def after_call(ctx, case, response):
    if case.meta is not None and case.meta.generation.mode.is_positive:
        TALLY[case.operation.label][str(response.status_code)] += 1


@atexit.register
def report():
    pathlib.Path(os.environ["STEWARD_TALLY"]).write_text(json.dumps(TALLY, indent=1, sort_keys=True))


@schemathesis.serializer("application/x-ndjson")
def one_line(ctx, value):
    return json.dumps(value).encode() + b"\n"


@schemathesis.deserializer("application/x-ndjson")
def first_line(ctx, response):
    """A good line has the documented shape, a bad one its problem; an empty body has no line."""
    line = json.loads(response.content.splitlines()[0]) if response.content.strip() else None
    return line
