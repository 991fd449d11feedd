"""The chart's value sets render to what Kubernetes, the operators and our own rules accept."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from monohull import __version__
from monohull.kernel.configuration import load
from monohull.kernel.core_metrics import CORE_METRICS
from monohull.kernel.hardening import refusals
from monohull.kernel.metric import catalogue_of
from monohull.kernel.module import load_modules
from monohull.kernel.settings import BUILTIN_MODULES
from tests.deploy import policies
from tests.deploy.bench import (
    CHART,
    DEPLOY,
    VALUES,
    Bench,
    BenchError,
    Object,
    name_of,
    of_kind,
    on_path,
    output,
    values_of,
)
from tools.deploy import values as chart_values
from tools.deploy.write import files, outdated

if TYPE_CHECKING:
    from collections.abc import Callable

DEFINITIONS = yaml.safe_load((Path(__file__).parent / "crds.yaml").read_text(encoding="utf-8"))
OWN = {"v1", "apps", "autoscaling", "batch", "networking.k8s.io", "policy"}
VERSIONS = ("1.27", "1.33", "1.37")
SETS = [pytest.param(name, revision, id=f"{name}-{revision}") for name in VALUES for revision in (1, 2)]
MADE_UP = {
    "MONOHULL_JWT_SECRET": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "MONOHULL_DATABASE_URL": "postgresql://owner:0f1e2d3c4b5a69788796@database:5432/app",
    "MONOHULL_OTLP_HEADERS": "authorization=Bearer%20abc",
    "MONOHULL_REDIS_URL": "redis+sentinel://:0f1e2d3c4b5a69788796@a:26379,b:26379/mymaster/0",
}


def is_own(one: Object) -> bool:
    return one["apiVersion"].split("/")[0] in OWN


def operators_findings(objects: list[Object]) -> list[str]:
    """Compare the objects of operators with what is known of their definitions."""
    found = []
    for one in objects:
        kind = DEFINITIONS["kinds"].get(f"{one['apiVersion']}/{one['kind']}")
        if kind is None:
            found.append(f"{name_of(one)}: nothing is known of {one['apiVersion']}")
            continue
        schema = {
            "definitions": DEFINITIONS["definitions"],
            "type": "object",
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "additionalProperties": False,
            "properties": {
                "apiVersion": {},
                "kind": {},
                "metadata": {"$ref": "#/definitions/metadata"},
                "spec": {"type": "object", "additionalProperties": False, **kind},
            },
        }
        errors = jsonschema.Draft7Validator(schema).iter_errors(one)
        found += [f"{name_of(one)}: {error.json_path}: {error.message}" for error in errors]
    return found


def test_there_are_six_value_sets() -> None:
    assert len(VALUES) == 6
    assert {"small", "production", "air-gapped"} <= set(VALUES)


@pytest.mark.parametrize(("name", "revision"), SETS)
def test_a_value_set_holds(bench: Bench, name: str, revision: int) -> None:
    objects = bench.rendered(name, revision)
    assert len(objects) >= 9
    names = [name_of(one) for one in objects]
    assert len(names) == len(set(names))
    for version in VERSIONS:
        assert bench.ask("validate", objects=[one for one in objects if is_own(one)], version=version) == []
    assert operators_findings([one for one in objects if not is_own(one)]) == []
    assert [finding for policy in policies.ALL for finding in policy(objects)] == []


@pytest.mark.parametrize("name", VALUES)
def test_helms_own_linter_is_content(bench: Bench, name: str) -> None:
    assert bench.ask("lint", chart=str(CHART), values=values_of(name)) == []


@pytest.mark.parametrize("name", VALUES)
def test_the_product_takes_every_setting(bench: Bench, name: str, tmp_path: Path) -> None:
    """What the pods are given is loaded by the product itself, as production does it."""
    for _, container, _ in policies.containers(bench.rendered(name)):
        settings = policies.environment(container)
        if "MONOHULL_ENV" not in settings:
            continue
        environ = {}
        for variable, value in settings.items():
            plain = variable.removesuffix("_FILE")
            environ[plain] = value if plain == variable else MADE_UP.get(plain, "a-value-of-the-secret")
        loaded = load(environ, project=tmp_path).settings
        assert loaded.core.is_production
        assert refusals(loaded) == []


def test_whole_numbers_stay_whole(bench: Bench) -> None:
    settings = {"MONOHULL_BODY_LIMIT_BYTES": 20_000_000, "MONOHULL_POOL_TIMEOUT_SECONDS": 2.5}
    given = policies.environment(api(bench.render({**values_of("small"), "settings": settings})))
    assert given["MONOHULL_BODY_LIMIT_BYTES"] == "20000000"
    assert given["MONOHULL_POOL_TIMEOUT_SECONDS"] == "2.5"


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://collector:4318", 4318), ("https://traces.example.com/otlp", 443), ("http://collector", 80)],
)
def test_traces_go_where_the_policy_lets_them(bench: Bench, endpoint: str, port: int) -> None:
    values = {**values_of("small"), "networkPolicy": {"enabled": True, "outboundPorts": []}}
    objects = bench.render({**values, "traces": {"endpoint": endpoint, "sampleRatio": 0.25}})
    given = policies.environment(api(objects))
    assert (given["MONOHULL_OTLP_ENDPOINT"], given["MONOHULL_OTLP_SAMPLE_RATIO"]) == (endpoint, "0.25")
    assert len(of_kind(objects, "NetworkPolicy")) == 4
    for policy in of_kind(objects, "NetworkPolicy"):
        ports = [rule["port"] for out in policy["spec"]["egress"] for rule in out["ports"]]
        assert (port in ports) == policy["metadata"]["name"].endswith(("-api", "-worker"))
    without = bench.render(values)
    assert "MONOHULL_OTLP_ENDPOINT" not in policies.environment(api(without))


def test_versions_are_the_products() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__
    assert f":-monohull:{__version__}}}" in (DEPLOY / "compose.yaml").read_text(encoding="utf-8")


def test_migrations_come_before_new_pods(bench: Bench) -> None:
    (first,) = of_kind(bench.rendered("production"), "Job")
    assert "annotations" not in first["metadata"]  # the pods of an installation wait for it
    (later,) = of_kind(bench.rendered("production", 2), "Job")
    assert later["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    assert later["metadata"]["name"] != first["metadata"]["name"]  # a Job cannot be changed
    (direct,) = of_kind(bench.rendered("cloudnativepg", 2), "Job")
    container = direct["spec"]["template"]["spec"]["containers"][0]
    url = policies.environment(container)["MONOHULL_DATABASE_URL_FILE"]
    assert url == "/run/secrets/monohull/database_url"  # past the pooler


def test_the_poolers_address_takes_the_servers_place(bench: Bench, tmp_path: Path) -> None:
    (api,) = [one for one in of_kind(bench.rendered("cloudnativepg"), "Deployment") if "-api" in name_of(one)]
    _, _, script, pooler = api["spec"]["template"]["spec"]["initContainers"][0]["command"]
    assert pooler in {one["metadata"]["name"] for one in of_kind(bench.rendered("cloudnativepg"), "Pooler")}
    given = tmp_path / "given"
    given.write_text("postgresql://monohull:p%40ss@shop-monohull-db-rw.monohull:5432/monohull\n", "utf-8")
    script = script.replace("/run/secrets/monohull/database_url", str(given))
    script = script.replace("/run/monohull/database_url", str(tmp_path / "written"))
    assert output("python3", "-c", script, pooler) == (0, "")
    written = (tmp_path / "written").read_text(encoding="utf-8")
    assert written == f"postgresql://monohull:p%40ss@{pooler}:5432/monohull"
    assert (tmp_path / "written").stat().st_mode & 0o777 == 0o600


def test_the_sentinels_url_is_one_of_the_products(bench: Bench, tmp_path: Path) -> None:
    import base64  # noqa: PLC0415 for this test alone

    (secret,) = [one for one in of_kind(bench.rendered("operators"), "Secret") if "-redis" in name_of(one)]
    url = base64.b64decode(secret["data"]["url"]).decode()
    assert url.startswith("redis+sentinel://")
    loaded = load({**MADE_UP, "MONOHULL_ENV": "production", "MONOHULL_REDIS_URL": url}, project=tmp_path)
    assert refusals(loaded.settings) == []
    (sentinel,) = of_kind(bench.rendered("operators"), "RedisSentinel")
    assert f"/{sentinel['spec']['redisSentinelConfig']['masterGroupName']}/" in url
    assert f"@{sentinel['metadata']['name']}-sentinel.monohull:26379/" in url


def test_the_example_of_external_secrets_makes_what_its_values_name() -> None:
    example = yaml.safe_load((DEPLOY / "helm/examples/external-secret.yaml").read_text(encoding="utf-8"))
    wanted = values_of("external-secrets")["secrets"]
    assert operators_findings([example]) == []
    assert example["spec"]["target"]["name"] == wanted["existing"]
    assert {one["secretKey"] for one in example["spec"]["data"]} == set(wanted["keys"].values())


def test_alerts_name_metrics_that_there_are(bench: Bench, tmp_path: Path) -> None:
    (rule,) = of_kind(bench.rendered("production"), "PrometheusRule")
    modules = load_modules(BUILTIN_MODULES)
    catalogue = catalogue_of((*CORE_METRICS, *(metric for module in modules for metric in module.metrics)))
    known = {name for metric in catalogue.values() for name in metric.series}
    for alert in (alert for group in rule["spec"]["groups"] for alert in group["rules"]):
        names = set(re.findall(r"monohull_\w+", alert["expr"]))
        assert names <= known, alert["alert"]
        assert names or "up{" in alert["expr"]
    promtool = on_path("promtool", "prometheus")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]), encoding="utf-8")
    code, printed = output(promtool, "check", "rules", tmp_path / "rules.yaml")
    assert code == 0, printed


def test_what_is_written_is_current() -> None:
    assert outdated(files()) == [], "run `make docs`"


def test_every_value_is_described_and_the_defaults_fit(bench: Bench) -> None:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    found = [entry for entry in chart_values.entries(text) if entry.is_value]
    assert len(found) > 80
    assert all(entry.text.endswith(".") for entry in found), [
        e.name for e in found if not e.text.endswith(".")
    ]
    with pytest.raises(BenchError, match="publicUrl is not set"):
        bench.render({})


def test_the_chart_is_packaged(bench: Bench, tmp_path: Path) -> None:
    archive = Path(bench.ask("package", chart=str(CHART), into=str(tmp_path)))
    assert archive.name == f"monohull-{__version__}.tgz"
    assert len(bench.render(values_of("production"), chart=archive)) == len(bench.rendered("production"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"image": {"tag": "latest"}}, "image"),
        ({"imge": {}}, "imge"),
        ({"api": {"replicas": "two"}}, "replicas"),
        ({"api": {"resources": {"limits": None}}}, "limits"),
        ({"settings": {"MONOHULL_AUTH_SMTP_PASS": "x"}}, "MONOHULL_AUTH_SMTP_PASS"),
        ({"settings": {"MONOHULL_JWT_SECRET_FILE": "/x"}}, "MONOHULL_JWT_SECRET_FILE"),
        ({"settings": {"LOG_LEVEL": "info"}}, "LOG_LEVEL"),
        ({"settings": {"MONOHULL_PORT": 9000}}, "the chart's to set"),
        ({"redis": {"external": {"url": "redis+mesh://a:6379"}}}, "url"),
        ({"metrics": {"port": 8000}}, "port"),
        ({"secrets": {"existing": "mine"}}, "both set"),
        ({"database": {"external": {"url": ""}}}, "no database"),
        ({"redis": {"external": {"url": ""}}}, "no Redis"),
        ({"gateway": {"enabled": True}}, "parentRefs is empty"),
        ({"database": {"mode": "sqlite"}}, "mode"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_values_that_do_not_hold_are_refused(bench: Bench, values: dict[str, Any], said: str) -> None:
    merged = values_of("small")
    for key, value in values.items():
        own = merged.setdefault(key, {})
        for name, inner in value.items():
            own[name] = {**own[name], **inner} if isinstance(own.get(name), dict) and inner else inner
    with pytest.raises(BenchError, match=re.escape(said)):
        bench.render(merged)


def api_pod(objects: list[Object]) -> Any:
    (found,) = [one for one in of_kind(objects, "Deployment") if name_of(one).endswith("-api")]
    return found["spec"]["template"]["spec"]


def api(objects: list[Object]) -> Any:
    return api_pod(objects)["containers"][0]


def kind(objects: list[Object], name: str) -> Any:
    return of_kind(objects, name)[0]


def drop(things: dict[str, Any], key: str) -> None:
    del things[key]


MISTAKES: list[tuple[str, Callable[[list[Object]], object], str]] = [
    ("root", lambda o: api_pod(o)["securityContext"].update(runAsNonRoot=False), "restricted"),
    ("root container", lambda o: api(o)["securityContext"].update(runAsUser=0), "restricted"),
    ("privileges", lambda o: api(o)["securityContext"].update(allowPrivilegeEscalation=True), "restricted"),
    ("writable root", lambda o: drop(api(o)["securityContext"], "readOnlyRootFilesystem"), "restricted"),
    (
        "capability",
        lambda o: api(o)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
        "restricted",
    ),
    ("seccomp", lambda o: drop(api_pod(o)["securityContext"], "seccompProfile"), "restricted"),
    (
        "host path",
        lambda o: api_pod(o)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
        "restricted",
    ),
    ("token", lambda o: drop(api_pod(o), "automountServiceAccountToken"), "restricted"),
    ("latest", lambda o: api(o).update(image="monohull/monohull:latest"), "pinned"),
    ("no tag", lambda o: api(o).update(image="registry:5000/monohull"), "pinned"),
    ("no limit", lambda o: drop(api(o)["resources"]["limits"], "memory"), "limited"),
    (
        "secret in a variable",
        lambda o: api(o)["env"].append({"name": "MONOHULL_JWT_SECRET", "value": "x"}),
        "secrets_in_files",
    ),
    (
        "secret by reference",
        lambda o: api(o)["env"].append(
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
        ),
        "secrets_in_files",
    ),
    (
        "password in a variable",
        lambda o: api(o)["env"].append({"name": "PROXY", "value": "http://me:secret@proxy"}),
        "secrets_in_files",
    ),
    ("secret not mounted", lambda o: api(o)["volumeMounts"].clear(), "secrets_in_files"),
    ("service's selector", lambda o: kind(o, "Service")["spec"]["selector"].update(tier="x"), "selectors"),
    (
        "budget's selector",
        lambda o: kind(o, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].clear(),
        "selectors",
    ),
    (
        "monitor's selector",
        lambda o: kind(o, "ServiceMonitor")["spec"]["selector"]["matchLabels"].update(a="b"),
        "selectors",
    ),
    (
        "autoscaler's target",
        lambda o: kind(o, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="x"),
        "selectors",
    ),
    (
        "spread of others",
        lambda o: api_pod(o)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].update(a="b"),
        "selectors",
    ),
    ("other port", lambda o: api(o)["ports"][0].update(containerPort=9000), "ports"),
    ("metrics elsewhere", lambda o: api(o)["ports"][1].update(containerPort=9000), "ports"),
    ("target port", lambda o: kind(o, "Service")["spec"]["ports"][0].update(targetPort="web"), "ports"),
    ("unknown probe", lambda o: api(o)["livenessProbe"]["httpGet"].update(path="/healthz"), "ports"),
    (
        "ingress to nowhere",
        lambda o: kind(o, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"].update(
            name="x"
        ),
        "ports",
    ),
    ("killed while draining", lambda o: api_pod(o).update(terminationGracePeriodSeconds=30), "drains"),
    ("default grace", lambda o: drop(api_pod(o), "terminationGracePeriodSeconds"), "drains"),
    ("no pause", lambda o: drop(api(o), "lifecycle"), "drains"),
    (
        "less while replaced",
        lambda o: kind(o, "Deployment")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
        "drains",
    ),
    (
        "no egress rules",
        lambda o: kind(o, "NetworkPolicy")["spec"].update(policyTypes=["Ingress"]),
        "guarded",
    ),
]


@pytest.mark.parametrize(("plant", "policy"), [pytest.param(m[1], m[2], id=m[0]) for m in MISTAKES])
def test_a_planted_mistake_is_found(
    bench: Bench, plant: Callable[[list[Object]], object], policy: str
) -> None:
    objects = bench.rendered("production")
    check = getattr(policies, policy)
    assert list(check(objects)) == []
    plant(objects)
    assert list(check(objects)) != []


def test_the_schemas_of_kubernetes_find_a_wrong_field(bench: Bench) -> None:
    objects = [one for one in bench.rendered("production") if is_own(one)]
    api(objects)["readinesProbe"] = api(objects).pop("readinessProbe")
    kind(objects, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["pathType"] = 1
    assert len(bench.ask("validate", objects=objects, version="1.33")) == 2


@pytest.mark.parametrize(
    ("set_name", "name", "field", "value"),
    [
        ("cloudnativepg", "Cluster", "instance", 3),
        ("cloudnativepg", "Pooler", "type", "write"),
        ("operators", "RedisSentinel", "clusterSize", "3"),
        ("operators", "HTTPRoute", "parentRefs", []),
        ("production", "ServiceMonitor", "endpoints", [{"port": 9464}]),
        ("production", "PrometheusRule", "groups", [{"name": "x"}]),
    ],
)
def test_the_operators_definitions_find_a_wrong_field(
    bench: Bench, set_name: str, name: str, field: str, value: object
) -> None:
    one = kind(bench.rendered(set_name), name)
    assert operators_findings([one]) == []
    one["spec"][field] = value
    assert operators_findings([one]) != []


def test_a_fault_in_a_template_is_found(bench: Bench, tmp_path: Path) -> None:
    chart = tmp_path / "monohull"
    shutil.copytree(CHART, chart)
    template = chart / "templates/services.yaml"
    template.write_text(
        template.read_text("utf-8").replace(".Values.api.service.port", ".Values.apl.port"), "utf-8"
    )
    assert bench.ask("lint", chart=str(chart), values=values_of("small")) != []
    with pytest.raises(BenchError, match="nil pointer"):
        bench.render(values_of("small"), chart=chart)


@pytest.mark.parametrize(
    "text",
    [
        "# of what\nvalue: 1\n",
        "value: 1\n",
        "# -- Said.\n# @schema {x}\nvalue: 1\n",
        "# A group.\ngroup:\n  value: 1\n",
    ],
    ids=["no mark", "no comment", "no JSON", "in a group"],
)
def test_a_value_without_a_description_is_refused(text: str) -> None:
    with pytest.raises(chart_values.Undescribed):
        list(chart_values.entries(text))
