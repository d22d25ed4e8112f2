"""What must fit together in deploy/. Called by check.sh with its folder of generated files.

Settings are compared with the structs that read them (all of which refuse unknown keys), not with a list kept here, and
metrics with the names that metrics.rs registers; so neither can drift.
"""

import json
import re
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
CRATES = HERE.parent / "crates"
# Section of a service, the container or Deployment that reads it, and where its struct is.
SERVICES = {
    "scoring": "scoring-svc",
    "approvals": "approval-svc",
    "supply": "supplier-sync-svc",
    "notify": "notifier-svc",
}
# Not ours: Prometheus' own and kube-state-metrics'.
FOREIGN_METRICS = {"up", "kube_deployment_status_replicas_ready", "kube_deployment_spec_replicas"}
problems = []


def refuse(bad, where, what):
    if bad:
        problems.append(f"{where}: {what}")


def structs(source):
    """`{struct: {field: type}}` of a Rust file."""
    found = {}
    for name, body in re.findall(r"struct (\w+) \{\n(.*?)\n\}", source, re.S):
        found[name] = dict(re.findall(r"^    (?:pub(?:\(crate\))? )?(\w+): (.+),$", body, re.M))
    return found


def settings_types():
    """All structs by section, and the root struct of each section."""
    common = structs((CRATES / "chassis/src/config.rs").read_text())
    roots = {key: (kind, common) for key, kind in common["CommonSettings"].items()}
    for section, crate in SERVICES.items():
        own = {}
        for file in ("settings.rs", "config.rs"):
            if (CRATES / crate / "src" / file).exists():
                own.update(structs((CRATES / crate / "src" / file).read_text()))
        root = next((name for name in own if name.endswith("Settings")), None)
        roots[section] = (root, own)
    return roots


def check_keys(value, kind, known, path, where):
    kind = re.sub(r"^(?:Option|Vec)<(.*)>$", r"\1", kind or "")
    if isinstance(value, list):
        for item in value:
            check_keys(item, kind, known, path, where)
    elif isinstance(value, dict):
        fields = known.get(kind, {})
        for key, inner in value.items():
            refuse(key not in fields, where, f"{path}.{key} is no setting")
            if key in fields:
                check_keys(inner, fields[key], known, f"{path}.{key}", where)


def check_settings(tree, roots, where):
    for section, value in tree.items():
        refuse(section not in roots, where, f"{section} is no section")
        if section in roots:
            check_keys(value, *roots[section], section, where)


def from_environment(names):
    """`STEWARD__A__B` as a tree."""
    tree = {}
    for name in names:
        at = tree
        *path, last = name.removeprefix("STEWARD__").lower().split("__")
        for key in path:
            at = at.setdefault(key, {})
        at[last] = ""
    return tree


def mounted_files(tree, section):
    """Paths of all files that the service with this section reads."""
    def walk(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key.endswith("_file") and isinstance(inner, str):
                    yield inner
                else:
                    yield from walk(inner)
        elif isinstance(value, list):
            for item in value:
                yield from walk(item)

    return set(walk({key: inner for key, inner in tree.items() if key == section or key not in SERVICES}))


def check_compose(roots, work):
    where = "compose/compose.yaml"
    folder = work / "repo/deploy/compose"
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    settings = yaml.safe_load((folder / "steward.yaml").read_text())
    check_settings(settings, roots, "compose/steward.yaml")
    for kind in ("secrets", "configs"):
        for name, source in compose[kind].items():
            refuse(not (folder / source["file"]).is_file(), where, f"{source['file']} ({name}) is made by nobody")
    services = compose["services"]
    used = {"secrets": set(), "configs": set()}
    for name, service in services.items():
        here = f"{where}: {name}"
        environment = [key for key in service.get("environment", {}) if key.startswith("STEWARD__")]
        check_settings(from_environment(environment), roots, here)
        for other, condition in service.get("depends_on", {}).items():
            healthy = condition["condition"] == "service_healthy"
            refuse(other not in services, here, f"depends on {other}, which is not there")
            refuse(healthy and "healthcheck" not in services.get(other, {}), here, f"{other} has no healthcheck")
        refuse("restart" not in service or "logging" not in service, here, "has no restart policy or no bounded log")
        refuse(":latest" in service["image"] or ":" not in service["image"], here, "its image has no version")
        for kind in used:
            used[kind] |= {item if isinstance(item, str) else item["source"] for item in service.get(kind, [])}
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = (folder / source).is_dir() if source.startswith(".") else source in compose["volumes"]
            refuse(not there, here, f"{source} is not there")
    for kind, names in used.items():
        refuse(names != set(compose[kind]), where, f"{kind} defined and used differ: {names ^ set(compose[kind])}")
    for section, name in SERVICES.items():
        mounts = [item if isinstance(item, dict) else {"target": item} for item in services[name]["secrets"]]
        there = {f"/run/secrets/{mount['target']}" for mount in mounts}
        if any("people" in volume for volume in services[name].get("volumes", [])):
            there |= {f"/etc/steward/people/{file.name}" for file in (folder / "people").iterdir()}
        missing = mounted_files(settings, section) - there
        refuse(missing, where, f"{name} reads {sorted(missing)}, which are not mounted")


def check_kubernetes(roots, work):
    if not (work / "example.yaml").exists():
        return
    for name in ("base", "example"):
        items = list(yaml.safe_load_all((work / f"{name}.yaml").read_text()))
        maps = {item["metadata"]["name"]: item["data"] for item in items if item["kind"] == "ConfigMap"}
        (text,) = [data["steward.yaml"] for data in maps.values()]
        settings = yaml.safe_load(text)
        check_settings(settings, roots, f"kubernetes/{name}: steward.yaml")
        secrets = {
            item["metadata"]["name"]: set(item.get("data", {})) | set(item.get("stringData", {}))
            for item in items if item["kind"] == "Secret"
        }
        deployments = {item["metadata"]["name"]: item for item in items if item["kind"] == "Deployment"}
        refuse(set(deployments) != set(SERVICES.values()), f"kubernetes/{name}", f"deploys {sorted(deployments)}")
        for section, service in SERVICES.items():
            check_deployment(deployments[service], settings, section, secrets, f"kubernetes/{name}: {service}")


def check_deployment(deployment, settings, section, secrets, where):
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    owners = pod.get("initContainers", [])
    for one in [container, *owners]:
        environment = [item["name"] for item in one["env"] if item["name"].startswith("STEWARD__")]
        check_settings(from_environment(environment), settings_types(), where)
    for owner in owners:
        refuse(owner["command"] != [SERVICES[section], "migrate"], where, f"begins with {owner['command']}")
        private = {mount["name"] for mount in owner["volumeMounts"]} - {mount["name"] for mount in container["volumeMounts"]}
        refuse(private != {"owner"}, where, f"{sorted(private)} are the init container's alone, not the owner's credential")
    grace = pod["terminationGracePeriodSeconds"]
    needed = container["lifecycle"]["preStop"]["sleep"]["seconds"] + settings["http"]["drain_seconds"]
    refuse(grace <= needed, where, f"is killed after {grace} s but drains for {needed} s")
    if not secrets:  # the base has none of its own
        return
    there = set()
    folders = {mount["name"]: mount["mountPath"] for one in [*owners, container] for mount in one["volumeMounts"]}
    for volume in pod["volumes"]:
        sources = [source["secret"]["name"] for source in volume.get("projected", {}).get("sources", [])]
        sources += [volume["secret"]["secretName"]] if "secret" in volume else []
        for name in sources:
            refuse(name not in secrets, where, f"mounts the Secret {name}, which the overlay does not make")
            there |= {f"{folders[volume['name']]}/{key}" for key in secrets.get(name, ())}
    read = {item["value"] for owner in owners for item in owner["env"] if item["name"].endswith("_FILE")}
    missing = (mounted_files(settings, section) | read) - there
    refuse(missing, where, f"reads {sorted(missing)}, which are not mounted")


def metric_names():
    source = (CRATES / "chassis/src/telemetry/metrics.rs").read_text().split("#[cfg(test)]")[0]
    names = {f"{name}_total" for name in re.findall(r'counter\(\s*"(\w+)"', source)}
    names |= set(re.findall(r'gauge\(\s*"(\w+)"', source))
    for name in re.findall(r'histogram\(\s*"(\w+)"', source):
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def check_observability():
    folder = HERE / "observability"
    rules = yaml.safe_load((folder / "prometheus/steward.rules.yaml").read_text())
    board = json.loads((folder / "grafana/steward.json").read_text())
    runbook = {
        re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        for title in re.findall(r"^### (.+)$", (folder / "README.md").read_text(), re.M)
    }
    expressions = []
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        expressions.append((f"alert {rule['alert']}", rule["expr"]))
        anchor = rule["annotations"].get("runbook", "").partition("#")[2].split(":")[0]
        refuse(anchor not in runbook, f"alert {rule['alert']}", f"its runbook {anchor!r} is not in the README")
    for panel in board["panels"]:
        expressions += [(f"panel {panel['title']}", target["expr"]) for target in panel.get("targets", [])]
    known = metric_names()
    for where, expression in expressions:
        # A metric is the name before a selector; every expression here selects by label.
        used = set(re.findall(r"\b([a-z_]+)\{", expression))
        refuse(not used, where, "selects no metric")
        refuse(used - known - FOREIGN_METRICS, where, f"knows metrics that nobody emits: {used - known - FOREIGN_METRICS}")


def main(work):
    for path in sorted(HERE.rglob("*")):
        if path.suffix in (".yaml", ".yml"):
            list(yaml.safe_load_all(path.read_text()))
        elif path.suffix == ".json":
            json.loads(path.read_text())
    roots = settings_types()
    check_compose(roots, work)
    check_kubernetes(roots, work)
    check_observability()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
