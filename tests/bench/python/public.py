#!/usr/bin/env python3
"""The models on public data beside classical rules, on one split by time: fitted to the earlier part, judged on the later.

usage: public.py STEWARD OUT.json      STEWARD is the program, the data lie in ../public
Both sides see the same earlier part and are asked about the same later rows; the figures are computed here for both.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

DATA = pathlib.Path(__file__).resolve().parent.parent / "public"
CUT_SCMS, CUT_HOURS, CUT_NOTES = "2011-07-01", 49, "2011-06-01"
SHARE_CARGO, FALSE_ALARMS = 0.7, 0.005


class Steward:
    """Runs `steward models eval` in a folder that holds the earlier part only."""

    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)

    def file(self, name, frame):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
        return path

    def judge(self, task, *inputs):
        out = self.folder / "out.csv"
        command = [self.program, "models", "eval", task, "--train", self.folder, "--inputs", *inputs, "--out", out]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        return pd.read_csv(out)


def late_figures(late, p):
    return {"AP": average_precision_score(late, p), "AUC": roc_auc_score(late, p), "Brier": brier_score_loss(late, p)}


def scms(steward):
    """Purchase lines: late or not, told when the line is ordered, from receipts known by then."""
    lines = pd.read_csv(DATA / "scms_lines.csv.gz").sort_values(["ordered", "id"], kind="stable")
    past = lines[lines.ordered < CUT_SCMS].copy()
    past.loc[past.known >= CUT_SCMS, ["known", "delay_days"]] = np.nan
    later = lines[(lines.ordered >= CUT_SCMS) & lines.delay_days.notna()]
    steward.file("supplier_risk/scms_lines.csv.gz", past)

    # What happens after the cut, in order: a line comes before a receipt of the same day.
    events = [(row.ordered, 0, row.id, {"ev": "line", **row._asdict()}) for row in later.itertuples(index=False)]
    receipts = lines[lines.known.notna() & (lines.known >= CUT_SCMS)]
    events += [(row.known, 1, row.id, {"ev": "receipt", "date": row.known, "id": row.id, "delay_days": row.delay_days})
               for row in receipts.itertuples(index=False)]
    events.sort(key=lambda event: event[:3])
    stream = steward.folder / "events.ndjson"
    stream.write_text("".join(json.dumps(event) + "\n" for *_, event in events), encoding="utf-8")
    ours = steward.judge("supplier-risk/scms", stream).set_index("id").p_late[later.id]

    # The supplier's own late rate so far, drawn to the overall rate; and the same for supplier and country.
    receipts_so_far = pd.concat([past[past.delay_days.notna()], receipts]).sort_values("known")
    known = [(row.known, row.vendor, row.country, row.delay_days > 0) for row in receipts_so_far.itertuples(index=False)]
    seen, hits, at, rate, shrunk = {}, {}, 0, [], []
    for row in later.itertuples(index=False):
        while at < len(known) and known[at][0] < row.ordered:
            _, vendor, country, late = known[at]
            for key in ((), (vendor,), (vendor, country)):
                seen[key], hits[key] = seen.get(key, 0) + 1, hits.get(key, 0) + late
            at += 1
        overall = hits[()] / seen[()]
        own = (hits.get((row.vendor,), 0) + overall) / (seen.get((row.vendor,), 0) + 1)
        pair = (row.vendor, row.country)
        rate.append(own)
        shrunk.append((hits.get(pair, 0) + 10 * own) / (seen.get(pair, 0) + 10))
    fit = past[past.delay_days.notna()]
    kinds = ["vendor", "country", "fulfill_via", "mode"]
    regression = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(max_iter=1000))
    regression.fit(fit[kinds], fit.delay_days > 0)
    late = later.delay_days > 0
    return "late purchase lines (SCMS)", len(later), {
        "Steward": late_figures(late, ours), "supplier's late rate": late_figures(late, rate),
        "rate by supplier and country, shrunk": late_figures(late, shrunk),
        "logistic regression": late_figures(late, regression.predict_proba(later[kinds])[:, 1])}


def cargo(steward):
    """Transports: late or not, told before they begin, from the plan alone."""
    all_cases = pd.read_csv(DATA / "cargo2000.csv.gz")
    cut = int(SHARE_CARGO * len(all_cases))
    past, later = all_cases[:cut], all_cases[cut:]
    legs = ["i1", "i2", "i3"]

    def minutes(cases, kind):
        spent = lambda leg: cases[[c for c in cases if c.startswith(leg + "_") and c.endswith(kind)]].sum(axis=1)
        return pd.concat([spent(leg) for leg in legs], axis=1).max(axis=1) + spent("o")

    late = minutes(later, "_e") > minutes(later, "_p")
    asked = later.copy()
    asked[[column for column in asked if column.endswith("_e")]] = np.nan
    asked.insert(1, "checkpoint", 0)
    steward.file("supplier_risk/cargo2000.csv.gz", past)
    ours = steward.judge("supplier-risk/cargo", steward.file("asked.csv", asked)).set_index("case").p_late[later.case]

    planned = [column for column in past if column.endswith(("_p", "_hops"))] + ["legs"]
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    past_late = minutes(past, "_e") > minutes(past, "_p")
    regression.fit(past[planned].fillna(0), past_late)
    # The late rate of the airport that a transport leaves the hub to.
    by_place = past_late.groupby(past.o_rcf_1_place).agg(["sum", "size"])
    rate = (by_place["sum"] + 10 * past_late.mean()) / (by_place["size"] + 10)
    by_destination = later.o_rcf_1_place.map(rate).fillna(past_late.mean())
    return "late transports, before they begin (Cargo 2000)", len(later), {
        "Steward": late_figures(late, ours), "late rate of the destination": late_figures(late, by_destination),
        "logistic regression on the plan": late_figures(late, regression.predict_proba(later[planned].fillna(0))[:, 1])}


def hours(steward):
    """Days on which the shelf was empty for four of sixteen hours or more, from hourly sales alone."""
    rows = pd.read_csv(DATA / "fresh_retail_hours.csv.gz", dtype={"oos": str})
    units = np.array([list(map(float, text.split())) for text in rows.units])[:, 6:22]
    empty = np.array([[digit == "1" for digit in text] for text in rows.oos])[:, 6:22]
    past = (rows.day < CUT_HOURS).to_numpy()
    blind = rows[["series", "day", "units", "discount"]]
    steward.file("demand_signal/frn_hours.csv.gz", blind[past])
    ours = steward.judge("demand-signal/stockout", steward.file("asked.csv", blind[~past]))
    asked = rows[~past].reset_index(drop=True)
    ours = asked.merge(ours, on=["series", "day"], how="left").score.to_numpy()

    zeros = (units == 0).sum(axis=1) / 16
    # Chance that nothing more was sold since the last sale of the day, by the series' level and the hours' profile.
    profile = units[past].sum(axis=0) / units[past].sum()
    level = pd.Series(units[past].sum(axis=1)).groupby(rows.series[past].to_numpy()).mean()
    expected = rows.series.map(level).to_numpy()[:, None] * profile[None, :]
    since_last_sale = np.cumprod((units == 0)[:, ::-1], axis=1)[:, ::-1]
    unlikely = 1 - np.exp(-(expected * since_last_sale).sum(axis=1))
    counted = empty[~past].sum(axis=1)
    clear = (counted == 0) | (counted >= 4)
    out = counted[clear] >= 4
    figures = lambda score: {"AP": average_precision_score(out, score[clear]), "AUC": roc_auc_score(out, score[clear])}
    return "empty shelves, from sales alone (FreshRetailNet)", int(clear.sum()), {
        "Steward": figures(ours), "hours without a sale": figures(zeros[~past]),
        "Poisson run since the last sale": figures(unlikely[~past])}


def notes(steward):
    """The cause that a clerk noted for a stock adjustment, from the article's ledger."""
    rows = pd.read_csv(DATA / "online_retail_adjustments.csv.gz", dtype={"stockcode": str}).fillna({"label": ""})
    past, asked = rows[rows.time < CUT_NOTES], rows[(rows.time >= CUT_NOTES) & (rows.label != "")]
    # Later adjustments without a note are known too: they are what happened beside the others.
    unexplained = rows[(rows.time >= CUT_NOTES) & (rows.label == "")]
    steward.file("inventory_exception/or_adjustments.csv.gz", pd.concat([past, unexplained]))
    for name in ("ledger", "items"):
        frame = pd.read_csv(DATA / f"online_retail_{name}.csv.gz", dtype={"stockcode": str})
        steward.file(f"inventory_exception/or_{name}.csv.gz", frame)
    ours = steward.judge("inventory-exception/notes", steward.file("asked.csv", asked.drop(columns="label")))
    ours = ours.set_index("eid").loc[asked.eid]

    fit = past[past.label != ""]
    classes = sorted(set(ours.columns) | set(fit.label) | set(asked.label))

    def facts(frame):
        time = pd.to_datetime(frame.time)
        beside = [int((abs(pd.to_datetime(rows.time) - at) < pd.Timedelta("30min")).sum()) for at in time]
        return np.c_[np.sign(frame.quantity), np.log1p(frame.quantity.abs()), np.log1p(beside), time.dt.hour,
                     frame.quantity % 12 == 0]

    def figures(columns, table):
        table = pd.DataFrame(table, columns=columns).reindex(columns=classes, fill_value=0).to_numpy() + 1e-4
        table /= table.sum(axis=1, keepdims=True)
        told = np.array(classes)[table.argmax(axis=1)]
        return {"macro F1": f1_score(asked.label, told, average="macro", zero_division=0, labels=sorted(set(asked.label))),
                "log loss": log_loss(asked.label, table, labels=classes)}

    shares = fit.label.value_counts(normalize=True)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(facts(fit), fit.label)
    return "causes of stock adjustments (Online Retail)", len(asked), {
        "Steward": figures(ours.columns, ours.to_numpy()),
        "the usual shares": figures(shares.index, np.tile(shares.to_numpy(), (len(asked), 1))),
        "logistic regression": figures(regression.classes_, regression.predict_proba(facts(asked)))}


def streams(steward):
    """Labelled windows of anomalies found, at a threshold that the first half of each stream sets."""
    rows = pd.read_csv(DATA / "nab_series.csv.gz")
    windows = json.loads((DATA / "nab_windows.json").read_text(encoding="utf-8"))
    rows["row"] = rows.groupby("file").cumcount()
    ours = steward.judge("demand-signal/nab", steward.file("asked.csv", rows[["file", "timestamp", "value"]]))
    scored = rows.merge(ours, on=["file", "row"])
    by_file = scored.groupby("file").value
    day = by_file.transform(lambda v: (v - v.shift().rolling(288, min_periods=30).mean()).abs()
                            / (v.shift().rolling(288, min_periods=30).std() + 1e-9)).fillna(0)
    level = by_file.transform(lambda v: (v - v.shift().ewm(alpha=0.05).mean()).abs()
                              / ((v - v.shift().ewm(alpha=0.05).mean()).abs().shift().ewm(alpha=0.01).mean() + 1e-9)).fillna(0)
    scored["time"], scored["half"] = pd.to_datetime(scored.timestamp), 0

    def figures(score):
        found = wanted = alarms = quiet = 0
        for name, part in scored.assign(told=np.asarray(score)).groupby("file"):
            spans = [(pd.Timestamp(a), pd.Timestamp(b)) for a, b in windows[name]]
            normal = ~np.any([part.time.between(a, b) for a, b in spans], axis=0) if spans else np.ones(len(part), bool)
            early = (part.row < len(part) // 2).to_numpy()
            threshold = np.quantile(part.told[early & normal], 1 - FALSE_ALARMS)
            alarm = (part.told > threshold).to_numpy()
            middle = part.time[part.row == len(part) // 2].iloc[0]
            later = [(a, b) for a, b in spans if a >= middle]
            wanted += len(later)
            found += sum((alarm & part.time.between(a, b).to_numpy()).any() for a, b in later)
            alarms, quiet = alarms + (alarm & ~early & normal).sum(), quiet + (~early & normal).sum()
        return {"windows found": found / wanted, "false alarms": alarms / quiet}

    return "anomalies in readings (NAB)", len(scored) // 2, {
        "Steward": figures(scored.score), "z-score over a day": figures(day), "EWMA of errors": figures(level)}


def main(program, out):
    rows, told = [["task", "rows judged", "rule", "figures"]], {}
    for task in (hours, scms, cargo, notes, streams):
        with tempfile.TemporaryDirectory() as folder:
            name, count, figures = task(Steward(program, folder))
        told[name] = {"rows": count, "figures": figures}
        for rule, values in figures.items():
            text = ", ".join(f"{measure} {value:.3f}" for measure, value in values.items())
            first = rule == "Steward"
            rows.append([name if first else "", f"{count:,}" if first else "", f"**{rule}**" if first else rule, text])
    width = [max(map(len, column)) for column in zip(*rows)]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, width)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in width) + "|")
    pathlib.Path(out).write_text(json.dumps({"table": "\n".join(lines), "tasks": told}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
