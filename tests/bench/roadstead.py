"""Roadstead as a peer of the benchmark harness: both planes, as they are shipped.

    BENCH_PLUGIN=tests/bench/roadstead.py BENCH_ROADSTEAD=target/release \\
        python3 peers.py run --peers nginx,roadstead --scenarios h1-plain,h1-tls,tls-handshake

`BENCH_ROADSTEAD` is the folder of the two binaries. The control plane reads a folder of
Kubernetes YAML, one file a host; its log and the proxy's journal lie in the run's own folder,
so the first start is cold. `BENCH_ROADSTEAD_WARM=1` starts both once before the run and stops
them, so that the start that is measured finds log and journal. `Peer`, `binary` and `out` are the
harness' own names, among which this file is read.
"""
import os
import socket
import subprocess
import time

CONTROL = """\
sources:
  folder: {{path: {dir}/objects}}
listeners:
  http: {{address: 127.0.0.1, port: {plain}}}
{https}# The same host is asked by HTTP.
redirectToHttps: false
dataFolder: {dir}/control-plane
grpc: {{address: "127.0.0.1:27091", operators: "127.0.0.1:27092"}}
admin: {{address: "127.0.0.1:27093"}}
log: {{level: warn}}
"""
DATA = """\
proxy: bench
controlPlane:
  addresses: ["https://127.0.0.1:27091"]
  caFile: {dir}/control-plane/keys/ca.pem
  tokenFile: {dir}/control-plane/keys/proxy.token
stateFolder: {dir}/data-plane
threads: 1
admin: {{address: "127.0.0.1:27094"}}
log: {{level: warn}}
"""
# One shell, so that the harness' accounting of descendants sees both planes.
START = """\
#!/bin/sh
{bin}/roadstead-control-plane --config {dir}/control-plane.yaml &
control=$!
$BENCH_ROADSTEAD_UNDER {bin}/roadstead-data-plane --config {dir}/data-plane.yaml &
data=$!
trap 'kill $control $data; wait; exit 0' TERM INT
wait
"""


# As `CONTROL`, which is written without TLS.
HTTPS = "  https: {{address: 127.0.0.1, port: {tls}, protocol: https}}\n"


def indented(file):
    with open(file) as lines:
        return "".join(f"    {line}" for line in lines)


def secret(name, certificate, key):
    return (
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\n"
        f"stringData:\n  tls.crt: |\n{indented(certificate)}  tls.key: |\n{indented(key)}"
    )


def ingress(host, paths, tls):
    rules = "".join(
        f"          - {{path: {path}, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}\n"
        for path, service in paths
    )
    name = host.replace(".", "-")
    return (
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\n"
        f"metadata: {{name: {name}}}\nspec:\n{tls}  rules:\n    - host: {host}\n      http:\n        paths:\n{rules}"
    )


def service(name, address):
    ip, port = address.rsplit(":", 1)
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n---\n"
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        f"metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\n"
        f"ports: [{{port: {port}}}]\nendpoints: [{{addresses: [{ip}]}}]\n"
    )


class Roadstead(Peer):
    name = "roadstead"

    def version(self):
        return out(os.path.join(binary("roadstead"), "roadstead-data-plane"), "--version").split()[-1]

    def files(self, c):
        values = {"dir": c.dir, "plain": c.plain, "bin": os.path.abspath(binary("roadstead"))}
        values["https"] = HTTPS.format(tls=c.tls) if c.tls else ""
        files = {
            "control-plane.yaml": CONTROL.format(**values),
            "data-plane.yaml": DATA.format(**values),
            "start.sh": START.format(**values),
        }
        for name, address in c.services.items():
            files[f"objects/{name}.yaml"] = service(name, address)
        secrets = {host: f"tls-{number}" for number, (host, *_) in enumerate(c.certs)}
        for host, certificate, key, _ in c.certs:
            files[f"objects/{secrets[host]}.yaml"] = secret(secrets[host], certificate, key)
        for host, paths in c.by_host().items():
            tls = f"  tls: [{{hosts: [{host}], secretName: {secrets[host]}}}]\n" if host in secrets else ""
            files[f"objects/{host}.yaml"] = ingress(host, paths, tls)
        # Here, because the harness' clock runs from before `argv`; once, though it asks again.
        warm = os.environ.get("BENCH_ROADSTEAD_WARM")
        if warm and not os.path.exists(c.dir + "/control-plane"):
            self.warm_up(c, files)
        return files

    def argv(self, c):
        return ["sh", c.dir + "/start.sh"]

    def warm_up(self, c, files):
        for name, text in files.items():
            path = os.path.join(c.dir, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
        first = subprocess.Popen(["sh", c.dir + "/start.sh"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", c.plain), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            # A journal and a checkpoint are written within seconds, and at the stop.
            time.sleep(3)
        finally:
            first.terminate()
            first.wait(30)

