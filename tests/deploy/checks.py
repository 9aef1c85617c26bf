"""What deploy/ and the Dockerfile promise, checked by the tools of the field.

    checks.py PROGRAM        PROGRAM is the tollgate that checks the rendered configurations

Renders the Helm chart (Helm's own SDK) with several values, holds each object against the schemas of
Kubernetes and the "restricted" Pod Security Standard, and gives the ConfigMaps to `tollgate check`.
Validates the compose file (compose-spec), the Dockerfile (hadolint) and the units
(systemd-analyze). Exits with 1 and a list of all problems. Starts no container and no cluster.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import compose_spec
import helm_python
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy/helm/tollgate"
KUBERNETES = "1.31"
TOKEN = {"name": "prometheus", "role": "viewer", "sha256": "0" * 63 + "1"}
ACCESS = {"admin": {"access": {"tokens": [TOKEN]}}}

problems = []


def expect(condition, sentence):
    if not condition:
        problems.append(sentence)


# --- Helm ---------------------------------------------------------------------------------------

VALUES = {
    "default": {},
    "everything": {
        "image": {"digest": "sha256:" + "a" * 64},
        "gateway": {**ACCESS, "limits_store": "redis://redis:6379", "store": "clickhouse"},
        "existingSecrets": ["tollgate"],
        "env": {"HTTPS_PROXY": "http://proxy:3128"},
        "secretFiles": ["openai"],
        "shadow": {"limits": {"limits": {"requests_per_minute": 5}}},
        "ingress": {"enabled": True, "host": "llm.example.com", "tlsSecret": "llm-tls", "className": "nginx"},
        "admin": {"expose": True},
        "serviceMonitor": {"enabled": True, "tokenSecret": {"name": "scrape"}, "labels": {"release": "prom"}},
        "persistence": {"storageClass": "fast", "annotations": {"a": "b"}},
        "autoscaling": {"enabled": True},
        "serviceAccount": {"annotations": {"role": "x"}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "ml"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "x", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "pull"}],
    },
    "own names": {"existingPolicies": "mine", "existingShadow": "mine-too", "serviceAccount": {"name": "mine"}, "replicas": 0},
    "open metrics": {
        "gateway": {"admin": {**ACCESS["admin"], "metrics_open": True}},
        "admin": {"expose": True, "port": 9191},
        "serviceMonitor": {"enabled": True},
    },
    "operators' TLS": {
        "gateway": {"admin": {**ACCESS["admin"], "tls": {"cert_file": "/etc/tollgate-secrets/admin/tls.crt",
                                                         "key_file": "/etc/tollgate-secrets/admin/tls.key"}}},
        "secretFiles": ["admin"],
        "admin": {"expose": True},
        "serviceMonitor": {"enabled": True, "tokenSecret": {"name": "scrape"}, "tlsConfig": {"serverName": "gate"}},
    },
}
REFUSED = {
    "an unknown key": ({"replica": 2}, "replica"),
    "a wrong type": ({"replicas": "two"}, "replicas"),
    "no access": ({"admin": {"expose": True}}, "gateway.admin.access"),
    "no operators' side": ({"serviceMonitor": {"enabled": True}}, "admin.expose"),
    "no token": ({"gateway": ACCESS, "admin": {"expose": True}, "serviceMonitor": {"enabled": True}}, "tokenSecret"),
    "no host": ({"ingress": {"enabled": True}}, "ingress.host"),
}


def rendered(chart, values):
    """The objects of the chart, by kind and name."""
    objects = {}
    for path, text in chart.render(values, name="gate", namespace="llm").items():
        if path.endswith("NOTES.txt"):
            continue
        for part in yaml.safe_load_all(text):
            if part:
                key = (part["kind"], part["metadata"]["name"])
                expect(key not in objects, f"{key} is there twice")
                objects[key] = part
    return objects


def restricted(where, pod):
    """The Pod Security Standard "restricted", and a root that is not written to."""
    context = pod.get("securityContext", {})
    expect(context.get("runAsNonRoot") is True, f"{where}: runAsNonRoot")
    expect(context.get("runAsUser") == 65532 == context.get("fsGroup"), f"{where}: user and group 65532")
    expect(context.get("seccompProfile") == {"type": "RuntimeDefault"}, f"{where}: seccompProfile")
    expect(pod.get("automountServiceAccountToken") is False, f"{where}: a service account's token is mounted")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        expect(not pod.get(key), f"{where}: {key}")
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        expect(kinds <= allowed, f"{where}: volume {volume['name']} is {kinds}")
    for container in pod["containers"] + pod.get("initContainers", []):
        own = container.get("securityContext", {})
        expect(own.get("allowPrivilegeEscalation") is False, f"{where}: allowPrivilegeEscalation")
        expect(own.get("readOnlyRootFilesystem") is True, f"{where}: readOnlyRootFilesystem")
        expect(own.get("capabilities") == {"drop": ["ALL"]}, f"{where}: capabilities")
        expect(not own.get("privileged"), f"{where}: privileged")
        expect(all("hostPort" not in port for port in container.get("ports", [])), f"{where}: hostPort")
        for mount in container["volumeMounts"]:
            expect("subPath" not in mount, f"{where}: {mount['mountPath']} has a subPath and is never updated")


def checks_out(where, program, objects, variables):
    """`tollgate check` takes the ConfigMaps as the pod sees them, but for the place of `/data`."""
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder)
        mounts = {"gateway": base, "policies": base / "policies", "shadow": base / "shadow"}
        for (kind, name), one in objects.items():
            if kind == "ConfigMap":
                target = mounts[name.rsplit("-", 1)[1]]
                target.mkdir(exist_ok=True)
                for file, text in one["data"].items():
                    text = text.replace("data_dir: /data", f"data_dir: {folder}/data")
                    (target / file).write_text(text.replace("/etc/tollgate-secrets/admin", folder))
        for source, file in (("first.pem", "tls.crt"), ("first.key", "tls.key")):
            shutil.copy(ROOT / "tests/it/tls" / source, base / file)
        environment = {"PATH": os.environ["PATH"], **variables}
        done = subprocess.run(
            [program, "check", "--config", folder], env=environment, capture_output=True, text=True, timeout=60
        )
        expect(done.returncode == 0, f"{where}: tollgate check: {done.stdout}{done.stderr}")
        has_candidate = bool(objects["ConfigMap", "gate-tollgate-shadow"]["data"])
        expect(("shadow/" in done.stdout) == has_candidate, f"{where}: the candidate: {done.stdout}")


def helm(program):
    found = helm_python.lint(CHART, strict=True)
    text = json.dumps(found, default=str) if not isinstance(found, str) else found
    expect("ERROR" not in text and "WARN" not in text, f"lint: {text}")
    with helm_python.Chart.load(CHART) as chart:
        for case, values in VALUES.items():
            chart.validate_schema(values)
            objects = rendered(chart, values)
            for (kind, name), one in objects.items():
                if kind == "ServiceMonitor":
                    continue
                try:
                    kubernetes_validate.validate(one, KUBERNETES, strict=True)
                except kubernetes_validate.ValidationError as error:
                    problems.append(f"{case}: {kind} {name}: {error.message} at {list(error.path)}")
            pods = [one["spec"]["template"] for (kind, _), one in objects.items() if kind == "StatefulSet"]
            expect(len(pods) == 1, f"{case}: {len(pods)} StatefulSets")
            restricted(case, pods[0]["spec"])
            if not values.get("existingPolicies"):
                checks_out(f"{case}", program, objects, {"OPENAI_API_KEY": "k", "TOLLGATE_JWT_SECRET": "s" * 32})
        defaults(rendered(chart, {}))
        everything(rendered(chart, VALUES["everything"]))
        mounted(rendered(chart, VALUES["own names"]))
        endpoint = rendered(chart, VALUES["operators' TLS"])["ServiceMonitor", "gate-tollgate"]["spec"]["endpoints"][0]
        secure = (endpoint["scheme"], endpoint["tlsConfig"])
        expect(secure == ("https", {"serverName": "gate"}), f"ServiceMonitor: {secure}")
        policies_alone(chart)
        for case, (values, word) in REFUSED.items():
            try:
                chart.validate_schema(values)
                chart.render(values, name="gate", namespace="llm")
                problems.append(f"{case}: not refused")
            except helm_python.HelmError as error:
                expect(word in str(error), f"{case}: the message does not name {word}: {error}")


def defaults(objects):
    kinds = sorted(kind for kind, _ in objects)
    expected = ["ConfigMap", "ConfigMap", "ConfigMap", "PodDisruptionBudget", "Service", "Service", "ServiceAccount", "StatefulSet"]
    expect(kinds == expected, f"default: objects are {kinds}")
    gateway = yaml.safe_load(objects["ConfigMap", "gate-tollgate-gateway"]["data"]["gateway.yaml"])
    expect(gateway["admin_listen"].startswith("127.0.0.1:"), "default: the operators' side is open")
    stateful = objects["StatefulSet", "gate-tollgate"]["spec"]
    expect(stateful["volumeClaimTemplates"][0]["metadata"]["name"] == "data", "default: no claim per replica")
    container = stateful["template"]["spec"]["containers"][0]
    paths = [container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")]
    expect(paths == ["/healthz", "/healthz", "/readyz"], f"default: probes ask {paths}")
    expect([port["name"] for port in container["ports"]] == ["http"], "default: a port of the operators' side")
    expect(stateful["template"]["spec"]["terminationGracePeriodSeconds"] > 35, "default: killed before it has ended")


def everything(objects):
    expect("replicas" not in objects["StatefulSet", "gate-tollgate"]["spec"], "replicas against the autoscaler")
    target = objects["HorizontalPodAutoscaler", "gate-tollgate"]["spec"]["scaleTargetRef"]
    expect(target == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "gate-tollgate"}, f"scales {target}")
    monitor = objects["ServiceMonitor", "gate-tollgate"]
    expect(monitor["apiVersion"] == "monitoring.coreos.com/v1", "ServiceMonitor: apiVersion")
    endpoint = monitor["spec"]["endpoints"][0]
    expect(endpoint["authorization"] == {"credentials": {"name": "scrape", "key": "token"}}, "ServiceMonitor: token")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    fitting = [
        name
        for (kind, name), one in objects.items()
        if kind == "Service" and wanted <= one["metadata"].get("labels", {}).items()
        and any(port["name"] == endpoint["port"] for port in one["spec"]["ports"])
    ]
    expect(fitting == ["gate-tollgate-admin"], f"the ServiceMonitor finds {fitting}")


def mounted(objects):
    """ConfigMaps of one's own take the place of the chart's."""
    pod = objects["StatefulSet", "gate-tollgate"]["spec"]["template"]["spec"]
    maps = {volume["name"]: volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
    expected = {"gateway": "gate-tollgate-gateway", "policies": "mine", "shadow": "mine-too"}
    expect(maps == expected, f"own names: mounts {maps}")
    paths = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    expect(paths["shadow"] == "/etc/tollgate/shadow", f"own names: {paths}")
    own = [name for kind, name in objects if kind == "ConfigMap"]
    expect(own == ["gate-tollgate-gateway"], f"own names: {own}")


def policies_alone(chart):
    """An edit of a policy or a candidate restarts nothing; one of gateway.yaml does."""

    def template(values):
        return rendered(chart, values)["StatefulSet", "gate-tollgate"]["spec"]["template"]

    edited = {"policies": {"access": {"limits": {"requests_per_minute": 5}}}}
    expect(template(edited) == template({}), "an edit of a policy restarts the pods")
    candidate = {"shadow": {"limits": {"limits": {"requests_per_minute": 5}}}}
    expect(template(candidate) == template({}), "a candidate restarts the pods")
    restarts = template({"gateway": {"drain_delay": "6s"}}) != template({})
    expect(restarts, "an edit of gateway.yaml restarts no pod")


# --- compose, Dockerfile, systemd ---------------------------------------------------------------


def compose(program):
    path = ROOT / "deploy/compose.yaml"
    text = path.read_text()
    compose_spec.PyCompose.from_yaml(text).validate()
    services = yaml.safe_load(text)["services"]
    for name in ("tollgate", "clickhouse", "redis", "prometheus", "grafana"):
        expect(name in services, f"compose: no service {name}")
    for name, service in services.items():
        for port in service.get("ports", []):
            expect(str(port).startswith("127.0.0.1:"), f"compose: {name} is open to other machines: {port}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                expect((path.parent / source).exists(), f"compose: {name} mounts {source}, which is not there")
    grafana = services["grafana"]["environment"]
    for file in (ROOT / "config/grafana/provisioning").rglob("*.yaml"):
        for name in re.findall(r"\$\{(TOLLGATE_\w+)\}", file.read_text()):
            expect(name in grafana, f"compose: {file.name} reads {name}, which Grafana does not get")
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder)
        copy = base / "repository"
        shutil.copytree(ROOT / "deploy", copy / "deploy", ignore=shutil.ignore_patterns(".env"))
        made = subprocess.run([copy / "deploy/compose/secrets"], capture_output=True, text=True, timeout=20)
        expect(made.returncode == 0, f"compose/secrets: {made.stderr}")
        secrets = copy / "deploy/.env"
        expect(secrets.stat().st_mode & 0o777 == 0o600, "deploy/.env is open to others")
        pairs = [line.split("=", 1) for line in secrets.read_text().splitlines() if not line.startswith("#")]
        variables = dict(pairs)
        for name in re.findall(r"\$\{(\w+):\?", text):
            expect(variables.get(name), f"compose: {name} is required, and compose/secrets does not make it")
        before = secrets.read_text()
        subprocess.run([copy / "deploy/compose/secrets"], capture_output=True, timeout=20, check=True)
        expect(secrets.read_text() == before, "compose/secrets overwrites what is there")
        config_checks("compose", program, ROOT / "deploy/compose/tollgate/gateway.yaml", variables, base / "compose")
        secret = {"TOLLGATE_JWT_SECRET": "s" * 32}
        config_checks("image", program, ROOT / "deploy/image/gateway.yaml", secret, base / "image")


def config_checks(where, program, gateway, variables, folder):
    shutil.copytree(ROOT / "config/policies", folder / "policies")
    text = gateway.read_text().replace("data_dir: /data", f"data_dir: {folder}/data")
    (folder / "gateway.yaml").write_text(text)
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(
        [program, "check", "--config", folder], env=environment, capture_output=True, text=True, timeout=60
    )
    expect(done.returncode == 0, f"{where}: tollgate check: {done.stdout}{done.stderr}")


def dockerfile():
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    expect(done.returncode == 0, f"hadolint: {done.stdout}{done.stderr}")


def systemd(program):
    units = ROOT / "deploy/systemd"
    with tempfile.TemporaryDirectory() as folder:
        for unit in ("tollgate.service", "tollgate.socket"):
            text = (units / unit).read_text().replace("/usr/local/bin/tollgate", program)
            (pathlib.Path(folder) / unit).write_text(text)
        service, socket = (pathlib.Path(folder) / f"tollgate.{kind}" for kind in ("service", "socket"))
        done = subprocess.run(["systemd-analyze", "verify", service, socket], capture_output=True, text=True, timeout=60)
        known = re.compile(r"Failed to parse service type, ignoring: notify-reload")
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        # A note about another unit of this machine is not ours.
        ours = [line for line in lines if "tollgate" in line and not known.search(line)]
        expect(done.returncode == 0 and not ours, f"systemd-analyze verify: {lines}")
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", service],
            capture_output=True, text=True, timeout=60,
        )
        expect(done.returncode == 0, f"systemd-analyze security: {done.stdout[-300:]}{done.stderr}")


def main():
    program = sys.argv[1]
    helm(program)
    compose(program)
    dockerfile()
    systemd(program)
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
