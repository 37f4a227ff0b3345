"""What the Python client does with a pod that runs: client.py exec|terminal|attach|logs|forward NAMESPACE POD [PORT].

Each says what it saw, one fact a line; the suite compares.
"""

import json
import sys

from kubernetes import client, config, watch
from kubernetes.stream import portforward, stream

SECONDS = 60
RESIZE = 4


def session(verb, namespace, pod, **options):
    """A session that is read and written step by step."""
    return stream(verb, pod, namespace, _preload_content=False, **options)


def collected(running):
    """All that comes until the session is over: standard output and standard error."""
    out, err = "", ""
    while running.is_open():
        running.update(timeout=SECONDS)
        out += running.read_stdout() if running.peek_stdout() else ""
        err += running.read_stderr() if running.peek_stderr() else ""
    return out, err


def until(running, text):
    """Reads standard output until the text has come."""
    seen = ""
    while text not in seen:
        if not running.is_open():
            sys.exit(f"the session ended before {text!r} came: {seen!r}")
        running.update(timeout=SECONDS)
        seen += running.read_stdout() if running.peek_stdout() else ""
    return seen


def run(core, namespace, pod):
    """exec: three streams apart, and the exit code."""
    command = ["sh", "-c", "read line; echo got $line; echo oops >&2; exit 7"]
    running = session(
        core.connect_get_namespaced_pod_exec, namespace, pod, command=command, stdin=True, stdout=True, stderr=True, tty=False
    )
    running.write_stdin("a line\n")
    out, err = collected(running)
    print("protocol", running.subprotocol)
    print("stdout", out.strip())
    print("stderr", err.strip())
    print("code", running.returncode)


def terminal(core, namespace, pod):
    """exec with a terminal whose size changes while the command runs."""
    command = ["sh", "-c", "echo ready; until stty size | grep '37 91'; do sleep 0.1; done; read line; echo got $line; exit 3"]
    running = session(
        core.connect_get_namespaced_pod_exec, namespace, pod, command=command, stdin=True, stdout=True, stderr=False, tty=True
    )
    until(running, "ready")
    running.write_channel(RESIZE, json.dumps({"Width": 91, "Height": 37}))
    size = until(running, "37 91")
    running.write_stdin("go\r")
    out, _ = collected(running)
    print("size", size.split("\n")[-1].strip() or size.split("\n")[-2].strip())
    print("said", out.strip().split("\n")[-1].strip())
    print("code", running.returncode)


def attach(core, namespace, pod):
    """attach to what the container says from now on."""
    running = session(core.connect_get_namespaced_pod_attach, namespace, pod, stdin=False, stdout=True, stderr=True, tty=False)
    print("heard", until(running, "tick").split()[0])
    running.close()


def logs(core, namespace, pod):
    """A log that is followed until the container has ended."""
    for line in watch.Watch().stream(core.read_namespaced_pod_log, pod, namespace):
        print("line", line)


def forward(core, namespace, pod, port):
    """port-forward: what is sent comes back, and a port that nobody listens on is an error."""
    port, closed = int(port), int(port) + 1
    forwarded = portforward(core.connect_get_namespaced_pod_portforward, pod, namespace, ports=f"{port},{closed}")
    socket = forwarded.socket(port)
    socket.settimeout(SECONDS)
    socket.sendall(b"there and back\n")
    print("echo", socket.recv(100).decode().strip())
    print("open", forwarded.error(port))
    refused = forwarded.socket(closed)
    refused.settimeout(SECONDS)
    refused.recv(1)
    print("closed", "refused" if forwarded.error(closed) else "no error")


def main():
    config.load_kube_config()
    what, *rest = sys.argv[1:]
    steps = {"exec": run, "terminal": terminal, "attach": attach, "logs": logs, "forward": forward}
    steps[what](client.CoreV1Api(), *rest)


main()
