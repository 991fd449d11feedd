"""Our rules for rendered manifests. Each yields a sentence for everything that breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from monohull.cli.serve import KILL_AFTER_DRAIN_SECONDS
from monohull.worker import CANCELLATION_SECONDS
from tests.deploy.bench import Object, name_of, of_kind
from tools.deploy.write import secret_settings

Policy: TypeAlias = Callable[[list[Object]], Iterator[str]]

PUBLIC_PORT: Final = 8000
ROUTES: Final = {"/health/live", "/health/ready", "/health/startup", "/metrics"}
VOLUMES: Final = {"name", "emptyDir", "projected", "secret", "configMap"}
PASSWORD_IN_URL: Final = re.compile(r"://[^/@\s]*:[^/@\s]+@")


def pods(objects: list[Object]) -> Iterator[tuple[str, Object, Mapping[str, str]]]:
    """Return name, spec and labels of every pod that the objects make."""
    for one in objects:
        if one["kind"] == "Pod":
            yield name_of(one), one["spec"], one["metadata"]["labels"]
        elif one["kind"] in ("Deployment", "Job"):
            template = one["spec"]["template"]
            yield name_of(one), template["spec"], template["metadata"]["labels"]


def containers(objects: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Return name, container and the spec of its pod."""
    for name, spec, _ in pods(objects):
        for one in (*spec.get("initContainers", ()), *spec["containers"]):
            yield f"{name}/{one['name']}", one, spec


def environment(container: Object) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container.get("env", ())}


def restricted(objects: list[Object]) -> Iterator[str]:
    """What the pod security standard "restricted" demands, and a root file system that is read-only."""
    for name, spec, _ in pods(objects):
        yield from _restricted_pod(name, spec)
    for name, container, _ in containers(objects):
        yield from _restricted_container(name, container.get("securityContext", {}))


def _restricted_pod(name: str, spec: Object) -> Iterator[str]:
    own = spec.get("securityContext", {})
    if own.get("runAsNonRoot") is not True or not own.get("runAsUser"):
        yield f"{name} may run as root"
    if own.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{name} has no seccomp profile"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{name} is given a token that it does not need"
    yield from (f"{name} has {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    for volume in spec.get("volumes", ()):
        yield from (f"{name} mounts {kind}" for kind in sorted(set(volume) - VOLUMES))


def _restricted_container(name: str, own: Object) -> Iterator[str]:
    capabilities = own.get("capabilities", {})
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        yield f"{name} may gain privileges"
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield f"{name} has capabilities"
    if own.get("readOnlyRootFilesystem") is not True:
        yield f"{name} may write to its root file system"
    if own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
        yield f"{name} runs as root"


def pinned(objects: list[Object]) -> Iterator[str]:
    """No image whose content may change under its name."""
    images = [(name, container["image"]) for name, container, _ in containers(objects)]
    for one in objects:
        kubernetes = one.get("spec", {}).get("kubernetesConfig", {})
        images += [(name_of(one), image) for image in [kubernetes.get("image")] if image]
    for name, image in images:
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            yield f"{name} runs {image}"


def limited(objects: list[Object]) -> Iterator[str]:
    """Every container says what it needs and what it may take."""
    for name, container, _ in containers(objects):
        for kind in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                if not container.get("resources", {}).get(kind, {}).get(resource):
                    yield f"{name} has no {kind} of {resource}"


def secrets_in_files(objects: list[Object]) -> Iterator[str]:
    """No secret in a variable, and every file that a variable names is mounted."""
    hidden = set(secret_settings())
    for name, container, spec in containers(objects):
        for source in container.get("envFrom", ()):
            if "secretRef" in source:
                yield f"{name} takes a whole Secret into its variables"
        for variable in container.get("env", ()):
            if "secretKeyRef" in variable.get("valueFrom", {}) or variable["name"] in hidden:
                yield f"{name} has the secret {variable['name']} in a variable"
            if PASSWORD_IN_URL.search(variable.get("value", "")):
                yield f"{name} has a password in {variable['name']}"
        for variable, path in environment(container).items():
            if variable.endswith("_FILE") and path not in set(_files(container, spec)):
                yield f"{name} looks for {variable} at {path}, where nothing is mounted"


def _files(container: Object, spec: Object) -> Iterator[str]:
    volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
    written = {
        mount["mountPath"]
        for one in spec.get("initContainers", ())
        for mount in one["volumeMounts"]
        if not mount.get("readOnly")
    }
    for mount in container.get("volumeMounts", ()):
        sources = volumes[mount["name"]].get("projected", {}).get("sources", ())
        for item in (item for source in sources for item in source["secret"]["items"]):
            yield f"{mount['mountPath']}/{item['path']}"
        if mount["mountPath"] in written:
            yield f"{mount['mountPath']}/database_url"


def selectors(objects: list[Object]) -> Iterator[str]:
    """Whoever chooses pods or services by labels finds some, and the right ones."""
    labels = [(name, found) for name, _, found in pods(objects)]
    services = [(name_of(one), one["metadata"]["labels"]) for one in of_kind(objects, "Service")]
    for one in of_kind(objects, "Service"):
        yield from _demand(one, one["spec"]["selector"], labels, 1)
    for one in of_kind(objects, "PodDisruptionBudget", "Deployment"):
        yield from _demand(one, one["spec"]["selector"]["matchLabels"], labels, 1)
    for one in of_kind(objects, "NetworkPolicy"):
        yield from _demand(one, one["spec"]["podSelector"]["matchLabels"], labels, 1)
    for one in of_kind(objects, "ServiceMonitor"):
        yield from _demand(one, one["spec"]["selector"]["matchLabels"], services, 2)
    for one in of_kind(objects, "HorizontalPodAutoscaler"):
        target = f"{one['spec']['scaleTargetRef']['kind']}/{one['spec']['scaleTargetRef']['name']}"
        found = [other for other in objects if name_of(other) == target]
        if not found or "replicas" in found[0]["spec"]:
            yield f"{name_of(one)} scales {target}, which is not there or has a fixed number"
    for one in of_kind(objects, "Deployment"):
        for spread in one["spec"]["template"]["spec"].get("topologySpreadConstraints", ()):
            if spread["labelSelector"] != one["spec"]["selector"]:
                yield f"{name_of(one)} spreads other pods than its own"


def _demand(
    one: Object, wanted: Mapping[str, str], things: list[tuple[str, Any]], number: int
) -> Iterator[str]:
    found = [name for name, labels in things if wanted.items() <= labels.items()]
    if len(found) != number:
        yield f"{name_of(one)} chooses {found}, and {number} was expected"


def ports(objects: list[Object]) -> Iterator[str]:
    """Ports are those of the contract, and whoever names one finds it."""
    for name, container, _ in containers(objects):
        yield from _container_ports(name, container)
    services = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "Service")}
    for name, service in services.items():
        for _, spec, labels in pods(objects):
            if service["selector"].items() <= labels.items():
                there = {port["name"] for one in spec["containers"] for port in one.get("ports", ())}
                wanted = {port["targetPort"] for port in service["ports"]}
                yield from (f"{name} sends to {port}, which its pods have not" for port in wanted - there)
    for one, backend in _backends(objects):
        known = services.get(backend["name"], {"ports": []})["ports"]
        if backend["port"] not in {value for port in known for value in (port["name"], port["port"])}:
            yield f"{name_of(one)} sends to {backend['name']}:{backend['port']}, which is not there"


def _container_ports(name: str, container: Object) -> Iterator[str]:
    named = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
    settings = environment(container)
    if named.get("http", PUBLIC_PORT) != PUBLIC_PORT or settings.get("MONOHULL_PORT", "8000") != "8000":
        yield f"{name} does not answer on {PUBLIC_PORT}"
    if "metrics" in named and settings.get("MONOHULL_METRICS_PORT") != str(named["metrics"]):
        yield f"{name} has its metrics elsewhere"
    if "health" in named and settings.get("MONOHULL_WORKER_HEALTH_PORT") != str(named["health"]):
        yield f"{name} says how it is elsewhere"
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(kind, {}).get("httpGet")
        if probe and (probe["port"] not in named or probe["path"] not in ROUTES):
            yield f"{name} is probed at {probe['port']}{probe['path']}, where nothing answers"


def _backends(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    for one in of_kind(objects, "Ingress"):
        for rule in one["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                found = path["backend"]["service"]
                yield (
                    one,
                    {"name": found["name"], "port": found["port"].get("name", found["port"].get("number"))},
                )
    for one in of_kind(objects, "HTTPRoute"):
        for rule in one["spec"]["rules"]:
            yield from ((one, backend) for backend in rule["backendRefs"])


def drains(objects: list[Object]) -> Iterator[str]:
    """A pod gets the time that its processes take to stop."""
    for one in of_kind(objects, "Deployment"):
        spec = one["spec"]["template"]["spec"]
        container = spec["containers"][0]
        settings = environment(container)
        drain = float(settings["MONOHULL_DRAIN_SECONDS"])
        if container["args"][0] == "serve":
            drain += float(settings["MONOHULL_LAME_DUCK_SECONDS"])
        hook = (
            container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        )
        after = KILL_AFTER_DRAIN_SECONDS if container["args"][0] == "serve" else CANCELLATION_SECONDS
        if spec.get("terminationGracePeriodSeconds", 30) < int(hook[1]) + drain + after + 2:
            yield f"{name_of(one)} is killed before it has drained"
        if container["args"][0] == "serve" and int(hook[1]) < 1:
            yield f"{name_of(one)} stops while it is still sent requests"
        if one["spec"]["strategy"]["rollingUpdate"].get("maxUnavailable") != 0:
            yield f"{name_of(one)} is less than it should be while it is replaced"


def guarded(objects: list[Object]) -> Iterator[str]:
    """Where there are network policies, each pod has one that speaks of both directions."""
    policies = of_kind(objects, "NetworkPolicy")
    for name, _, labels in pods(objects) if policies else ():
        chosen = [
            one for one in policies if one["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        ]
        if not chosen or any(set(one["spec"]["policyTypes"]) != {"Ingress", "Egress"} for one in chosen):
            yield f"{name} may talk to everybody"


ALL: Final[tuple[Policy, ...]] = (
    restricted,
    pinned,
    limited,
    secrets_in_files,
    selectors,
    ports,
    drains,
    guarded,
)
