#!/usr/bin/env python3
"""What a data scientist would write instead of a model of ours, on one thread, vectorised where the library is.

usage: judge.py MODEL FILE      one request per line, as the API takes it
Prints one line of JSON: rows, rows a second judged (input parsed already), rows a second from text to text, peak MiB.
"""
import json
import resource
import sys
import time

import numpy as np


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


def replenishment_snapshot(rows):
    """LightGBM: three boosters of as many trees and leaves as ours, fitted to the same cases, averaged."""
    import lightgbm

    def features(request):
        parts = [request["stock"], request["forecast"], request["sales"], request["supplier"]]
        numbers = [value for part in parts for value in part.values()]
        return numbers + [request["lead_time_weeks"]]

    table = np.array([features(row["request"]) for row in rows])
    late = np.array([row["outcome"]["went_on_backorder"] for row in rows], dtype=float)
    settings = {"objective": "binary", "num_leaves": 255, "learning_rate": 0.1, "max_depth": 20, "verbose": -1,
                "num_threads": 1, "min_child_weight": 10, "lambda_l2": 5, "feature_fraction": 0.5}
    data = lightgbm.Dataset(table, late, free_raw_data=False)
    boosters = replenishment_snapshot.boosters or [
        lightgbm.train({**settings, "seed": seed}, data, num_boost_round=80) for seed in range(3)]
    replenishment_snapshot.boosters = boosters

    def judge():
        return np.mean([booster.predict(table, num_threads=1) for booster in boosters], axis=0)[:, None]

    return judge


replenishment_snapshot.boosters = None


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


MODELS = {"replenishment": replenishment, "demand-signal": demand_signal,
          "replenishment-snapshot": replenishment_snapshot, "allocation": allocation}


def main(name, file):
    with open(file, encoding="utf-8") as lines:
        text = lines.read().splitlines()
    rows = [json.loads(line) for line in text]
    # The first call compiles and loads: not measured.
    MODELS[name](rows[: max(len(rows) // 10, 3)] if name != "replenishment-snapshot" else rows)()
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

    print(json.dumps({"rows": len(rows), "judged": per_second(judge), "from_text": per_second(from_text),
                      "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
