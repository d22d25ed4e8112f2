#!/usr/bin/env python3
"""What a data scientist would write instead of a model of ours, on one thread, vectorised where the library is.

usage: judge.py MODEL FILE [CASES]      one request per line, as the API takes it; the same with outcomes, to fit to
Prints one line of JSON: rows, rows a second judged (input parsed already), rows a second from text to text, peak MiB.
"""
import json
import pathlib
import sys
import time

import numpy as np

FITTED = {}


def once(name, fit):
    """What is fitted by the first call, which is not measured."""
    if name not in FITTED:
        FITTED[name] = fit()
    return FITTED[name]


def replenishment(rows):
    """Newsvendor: level by exponential smoothing, dispersion by moments, demand over the lead time negative binomial
    with the variance of the lead time in it, stock-out risk, expected loss and the same quantiles that we tell."""
    from scipy.stats import nbinom

    units = np.array([row["facts"]["demand"]["units"] for row in rows])
    seen = np.array([row["facts"]["lead_time"]["seen_days"] for row in rows]) + 1.0
    stock = np.array([row["facts"]["stock"]["on_hand"] - row["facts"]["stock"]["reserved"] for row in rows])

    def judge():
        age = np.arange(units.shape[1])[::-1]
        weight = 0.97**age
        level = units @ weight / weight.sum()
        dispersion = np.maximum(((units - level[:, None]) ** 2).mean(axis=1) / np.maximum(level, 1e-9), 1.0001)
        days, spread = seen.mean(axis=1), seen.var(axis=1)
        mean = np.maximum(level * days, 1e-9)
        variance = dispersion * mean + level**2 * spread
        p = mean / variance
        n = mean * p / (1 - p)
        risk = nbinom.sf(stock, n, p)
        lost = mean * nbinom.sf(stock - 1, n + 1, p) - stock * risk
        quantiles = nbinom.ppf(np.array([0.05, 0.5, 0.8, 0.9, 0.95, 0.98])[:, None], n, p)
        return np.vstack([risk, lost, mean, np.maximum(quantiles[4] - stock, 0), quantiles]).T

    return judge


def demand_signal(rows):
    """The level of each series by Croston in the variant of Syntetos and Boylan, and by simple smoothing."""
    import pandas as pd
    from statsforecast import StatsForecast
    from statsforecast.models import CrostonSBA, SimpleExponentialSmoothing

    length = len(rows[0]["series"]["units"])
    days = pd.date_range(rows[0]["series"]["first"], periods=length)
    frame = pd.DataFrame({
        "unique_id": np.repeat(np.arange(len(rows)), length),
        "ds": np.tile(days, len(rows)),
        "y": np.concatenate([row["series"]["units"] for row in rows]),
    })
    forecast = StatsForecast(models=[CrostonSBA(), SimpleExponentialSmoothing(0.1)], freq="D", n_jobs=1)

    def judge():
        return forecast.forecast(df=frame, h=1)[["CrostonSBA", "SES"]].to_numpy()

    return judge


def demand_signal_hours(rows):
    """The level of the day by exponential smoothing, the profile of the hours from all rows, and how unlikely the hours
    since the last sale are by a Poisson distribution; what was lost, and quantiles of the day."""
    from scipy.stats import poisson

    units = np.array([row["sales"]["units"] for row in rows], dtype=float).reshape(len(rows), -1, 24)[:, :, 6:22]

    def judge():
        before, today = units[:, :-1].sum(axis=2), units[:, -1]
        weight = 0.9 ** np.arange(before.shape[1])[::-1]
        level = before @ weight / weight.sum()
        profile = units.sum(axis=(0, 1)) / units.sum()
        expected = level[:, None] * profile
        since_last_sale = np.cumprod((today == 0)[:, ::-1], axis=1)[:, ::-1]
        idle = (expected * since_last_sale).sum(axis=1)
        quantiles = poisson.ppf(np.array([0.05, 0.5, 0.95])[:, None], level)
        return np.vstack([1 - np.exp(-idle), idle, level, quantiles]).T

    return judge


def supplier_risk(rows):
    """Late rate and mean delay by shrinkage from the widest circle to the narrowest, quantiles of an exponential."""
    circles = ["all", "channel", "mode", "season", "supplier", "lane", "account", "supplier_lane"]
    tallies = [[row["evidence"][circle] for circle in circles] for row in rows]
    numbers = lambda tally: [tally["recent"]["lines"], tally["recent"]["late"], tally["long"]["lines"],
                             tally["long"]["late"], tally["days_late"], tally["received_late"]]
    table = np.array([[numbers(tally) for tally in of_row] for of_row in tallies])
    cap = 60.0

    def judge():
        recent = long = np.full(len(table), 0.1)
        days = np.full(len(table), 20.0)
        for circle, strength in enumerate([20.0, 10.0, 10.0, 50.0, 10.0, 10.0, 10.0, 10.0]):
            recent = (table[:, circle, 1] + strength * recent) / (table[:, circle, 0] + strength)
            long = (table[:, circle, 3] + strength * long) / (table[:, circle, 2] + strength)
            days = (table[:, circle, 4] + 10 * days) / (table[:, circle, 5] + 10)
        odds = np.sqrt(recent / (1 - recent) * long / (1 - long))
        late = odds / (1 + odds)
        tail = np.array([0.5, 0.2, 0.05])[:, None]
        quantiles = np.minimum(np.maximum(days * np.log(late / tail), 0), cap)
        return np.vstack([late, late * np.minimum(days, cap), quantiles]).T

    return judge


def shipment_risk(rows):
    """Steps ahead lognormal around their plan, a leg by the moments of its sum (Fenton and Wilkinson), the longest leg
    by the product of distributions, the outbound one over Gauss-Hermite nodes."""
    from scipy.special import ndtr

    def leg(steps):
        return [sum(step.get("took_minutes", 0.0) for step in steps),
                [step["planned_minutes"] for step in steps if "took_minutes" not in step]]

    legs = [[leg(each["steps"]) for each in row["transport"]["inbound"] + [row["transport"]["outbound"]]] for row in rows]
    steps = max(len(ahead) for of_row in legs for _, ahead in of_row)
    taken = np.array([[minutes for minutes, _ in of_row] for of_row in legs])
    ahead = np.array([[ahead + [0.0] * (steps - len(ahead)) for _, ahead in of_row] for of_row in legs])
    plan = np.array([max(sum(step["planned_minutes"] for step in each["steps"]) for each in row["transport"]["inbound"])
                     + sum(step["planned_minutes"] for step in row["transport"]["outbound"]["steps"]) for row in rows])
    spread = 0.5
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)

    def judge():
        mean = (ahead * np.exp(spread / 2)).sum(axis=2)
        variance = (ahead**2 * np.exp(spread) * np.expm1(spread)).sum(axis=2)
        deviation = np.sqrt(np.log1p(variance / np.maximum(mean, 1e-9) ** 2))
        centre = np.log(np.maximum(mean, 1e-9)) - deviation**2 / 2
        outbound = taken[:, -1:] + np.exp(centre[:, -1:] + deviation[:, -1:] * nodes)
        left = np.maximum((plan[:, None] - outbound)[:, None, :] - taken[:, :-1, None], 1e-9)
        within = ndtr((np.log(left) - centre[:, :-1, None]) / np.maximum(deviation[:, :-1, None], 1e-9)).prod(axis=1)
        return (1 - within @ (weights / weights.sum()))[:, None]

    return judge


def inventory_exception(rows):
    """Multinomial logistic regression over what the facts say. Its classes are those that `inputs.rs` makes, in turn."""
    from sklearn.linear_model import LogisticRegression

    def features(facts):
        part = lambda name: facts.get(name, {})
        variance = facts["count"]["counted"] - facts["count"]["system"]
        pack = facts["item"]["case_pack"]
        told = [part("count").get("recount", np.nan) - facts["count"]["system"],
                part("handling").get("largest_scan", np.nan) + variance,
                part("neighbours").get("other_place", np.nan) + variance,
                part("moves").get("open_document_units", np.nan) - variance,
                part("receipts").get("last_announced", np.nan) - part("receipts").get("last_posted", np.nan) - variance]
        known = [float(value == value) for value in told] + [float(value == 0) for value in told]
        return known + [np.sign(variance), np.log1p(abs(variance)), float(variance % pack == 0), facts["item"]["theft_risk"],
                        np.log1p(facts["sales"]["units"]), facts["sales"]["idle_days"],
                        part("handling").get("damage_reports", 0.0)]

    table = np.array([features(row["facts"]) for row in rows])
    cost = np.array([row["facts"]["item"]["unit_cost"]["minor"] for row in rows])
    fit = lambda: LogisticRegression(max_iter=1000).fit(table, np.arange(len(table)) % 6)
    regression = once("inventory-exception", fit)

    def judge():
        chances = regression.predict_proba(table)
        return np.column_stack([chances, (1 - chances.max(axis=1)) * cost])

    return judge


def replenishment_snapshot(rows):
    """LightGBM: three boosters of as many trees and leaves as ours, fitted to the same cases, averaged."""
    import lightgbm

    def features(request):
        parts = [request["stock"], request["forecast"], request["sales"], request["supplier"]]
        numbers = [value for part in parts for value in part.values()]
        return numbers + [request["lead_time_weeks"]]

    def fit():
        with open(sys.argv[3], encoding="utf-8") as lines:
            cases = [json.loads(line) for line in lines]
        late = np.array([case["outcome"]["went_on_backorder"] for case in cases], dtype=float)
        data = lightgbm.Dataset(np.array([features(case["request"]) for case in cases]), late, free_raw_data=False)
        settings = {"objective": "binary", "num_leaves": 255, "learning_rate": 0.1, "max_depth": 20, "verbose": -1,
                    "num_threads": 1, "min_child_weight": 10, "lambda_l2": 5, "feature_fraction": 0.5}
        return [lightgbm.train({**settings, "seed": seed}, data, num_boost_round=80) for seed in range(3)]

    table = np.array([features(row) for row in rows])
    boosters = once("replenishment-snapshot", fit)

    def judge():
        return np.mean([booster.predict(table, num_threads=1) for booster in boosters], axis=0)[:, None]

    return judge


def allocation(rows):
    """The best plan by HiGHS: integer flows on lanes, the k-th unit of a place worth its chance to be sold."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array
    from scipy.stats import nbinom

    def plan(request):
        places, lanes, margin = request["locations"], request["lanes"], request["options"]["margin"]
        value, owner, most = [], [], []
        for j, place in enumerate(places):
            m, v = place["demand"]["forecast"]["mean"], place["demand"]["forecast"]["variance"]
            p = m / max(v, m * 1.0001)
            worth = margin * nbinom.sf(np.arange(200), m * p / (1 - p), p)
            worth = worth[worth > margin * 1e-3]
            value.append(worth)
            owner.append(np.full(len(worth), j))
            most.append(place["on_hand"])
        value, owner, units, flows = np.concatenate(value), np.concatenate(owner), sum(map(len, value)), len(lanes)
        cost = np.array([lane["unit_cost"] for lane in lanes])
        fixed = np.array([lane["fixed_cost"] for lane in lanes])
        capacity = np.array([lane["capacity"] for lane in lanes], dtype=float)
        # Sold at a place: no more than is there after the flows. A flow opens its lane.
        columns = np.arange(flows)
        rows_ = np.concatenate([owner, [lane["to"] for lane in lanes], [lane["from"] for lane in lanes],
                                len(places) + columns, len(places) + columns])
        cols = np.concatenate([np.arange(units), units + columns, units + columns, units + columns,
                               units + flows + columns])
        data = np.concatenate([np.ones(units), -np.ones(flows), np.ones(flows), np.ones(flows), -capacity])
        a = coo_array((data, (rows_, cols)), shape=(len(places) + flows, units + 2 * flows))
        upper = np.concatenate([most, np.zeros(flows)])
        found = milp(np.concatenate([-value, cost, fixed]), constraints=LinearConstraint(a, -np.inf, upper),
                     bounds=Bounds(0, np.concatenate([np.ones(units), capacity, np.ones(flows)])),
                     integrality=np.concatenate([np.zeros(units), np.ones(2 * flows)]))
        return found.x[units : units + flows]

    return lambda: [plan(row) for row in rows]


MODELS = {"replenishment": replenishment, "replenishment-snapshot": replenishment_snapshot,
          "demand-signal": demand_signal, "demand-signal-hours": demand_signal_hours, "supplier-risk": supplier_risk,
          "shipment-risk": shipment_risk, "inventory-exception": inventory_exception, "allocation": allocation}


def main(name, file):
    with open(file, encoding="utf-8") as lines:
        text = lines.read().splitlines()
    rows = [json.loads(line) for line in text]
    # The first call compiles, loads and fits: not measured.
    MODELS[name](rows[: max(len(rows) // 10, 3)])()
    # Lets the peak of memory begin anew (proc(5)).
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    judge = MODELS[name](rows)

    def per_second(work):
        rounds, began = 0, time.perf_counter()
        while rounds == 0 or time.perf_counter() - began < 1.0:
            work()
            rounds += 1
        return rounds * len(rows) / (time.perf_counter() - began)

    def from_text():
        judged = MODELS[name]([json.loads(line) for line in text])()
        return "\n".join(json.dumps(list(map(float, row))) for row in judged)

    rates = {"judged": per_second(judge), "from_text": per_second(from_text)}
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    print(json.dumps({"rows": len(rows), **rates, "peak_mib": peak_kib / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
