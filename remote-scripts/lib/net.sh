# Sourced by pod/supervisor for pods that ask something of a port: HTTP, TCP and gRPC, by what this node has: curl, python3,
# bash or nc. What is asked stands in the file of a probe or hook; what came of it is said on standard output.
# shellcheck shell=sh

# net ACTION FILE HOST PORT PATH SCHEME TIMEOUT: exit code 0: it is well; 1: it is not; 2: nothing on this node can ask.
# ACTION is http (any answer is one) or get (the status has to be one of success), tcp or grpc.
net() {
    net_action=$1 net_file=$2 net_host=$3 net_port=$4 net_path=$5 net_scheme=${6:-http} net_timeout=$7
    net_at=$net_host:$net_port
    case $net_host in
        *:*) net_at=[$net_host]:$net_port ;;
    esac
    case $net_action in
        tcp)
            if find_program bash; then
                exec "$program" -c '{ exec 3<>"/dev/tcp/$1/$2"; } 2>/dev/null || { echo "dial tcp $3: failed to connect"; exit 1; }' \
                    bash "$net_host" "$net_port" "$net_at"
            elif find_program python3; then
                net_python
            elif find_program nc; then
                exec "$program" -z "$net_host" "$net_port"
            fi
            net_cannot 'bash, python3 nor nc to connect to a port'
            ;;
        grpc)
            if find_program curl; then net_grpc || return $?; fi
            if find_program python3; then net_python; fi
            net_cannot 'a curl with HTTP/2 nor python3 to ask by gRPC'
            ;;
        *)
            if find_program curl; then net_curl && return 0 || return 1; fi
            if find_program python3; then net_python; fi
            net_cannot 'curl nor python3 to ask by HTTP'
            ;;
    esac
    return 2
}
net_cannot() { printf 'there is neither %s with on %s\n' "$1" "$(uname -n)"; }

# As a kubelet's client: certificates are not looked at, no proxy, redirections are followed as long as they stay on the host.
net_curl() {
    net_url=$net_scheme://$net_at$net_path net_hops=0
    while :; do
        net_said=$("$program" -q -g -s -S -k --noproxy '*' -o /dev/null -m "$net_timeout" -w '%{http_code} %{redirect_url}' \
            -K "$net_file.curl" -K - 2>&1 <<END
url = "$net_url"
END
        ) || {
            printf 'Get "%s": %s\n' "$net_url" "${net_said%"$LF"*}"
            return 1
        }
        net_to=${net_said#* } net_code=${net_said%% *}
        [ "$net_action" != http ] || return 0
        case $net_code in
            30[12378]) ;;
            2?? | 3??) return 0 ;;
            *)
                printf 'HTTP probe failed with statuscode: %s\n' "$net_code"
                return 1
                ;;
        esac
        net_there=${net_to#*://} net_there=${net_there%%[/?#]*} net_there=${net_there##*@}
        case $net_there in
            "$net_host" | "$net_host":* | "[$net_host]" | "[$net_host]":*) ;;
            *) return 0 ;;
        esac
        case $net_to in
            *[\"\\[:cntrl:]]*)
                echo 'HTTP probe failed: it is sent to an address that is none'
                return 1
                ;;
        esac
        net_url=$net_to net_hops=$((net_hops + 1))
        [ "$net_hops" -le 10 ] || {
            printf 'Get "%s": stopped after 10 redirects\n' "$net_url"
            return 1
        }
    done
}

# The question and the answer are one frame each; `08 01` is the status SERVING. Returns 0 if this curl speaks no HTTP/2.
net_grpc() {
    net_answer=$net_file.answer
    net_said=$("$program" -q -g -s -S --http2-prior-knowledge --noproxy '*' -m "$net_timeout" -H 'content-type: application/grpc' \
        -H 'te: trailers' -A "$net_agent" --data-binary "@$net_file.grpc" -o "$net_answer" "http://$net_at/grpc.health.v1.Health/Check" 2>&1)
    net_code=$?
    case $net_code in
        0) ;;
        1 | 2 | 4) return 0 ;;
        *)
            printf 'failed to ask %s: %s\n' "$net_at" "$net_said"
            return 1
            ;;
    esac
    net_said=$(od -An -v -tx1 "$net_answer" 2>/dev/null | tr -d ' \n')
    rm -f "$net_answer"
    net_grpc_verdict
    exit $?
}
net_agent=kube-probe/1.36
net_grpc_verdict() {
    case $net_said in
        00000000020801*) return 0 ;;
        00000000020802*) echo 'service unhealthy (responded with "NOT_SERVING")' ;;
        00000000020803*) echo 'service unhealthy (responded with "SERVICE_UNKNOWN")' ;;
        0000000000* | 000000000208*) echo 'service unhealthy (responded with "UNKNOWN")' ;;
        *) echo 'error: health rpc failed: this server has no such service, or no health check (grpc.health.v1.Health)' ;;
    esac
    return 1
}

# All of it where there is no curl. (HTTP/2 by hand: one stream, headers without compression.)
net_python() {
    exec "$program" -I -c '
import http.client, json, socket, ssl, struct, sys, urllib.parse
action, file, host, port, path, scheme, timeout = sys.argv[1:8]
port, timeout = int(port), float(timeout)
def end(code, text=""):
    if text:
        print(text)
    sys.exit(code)
def get():
    url = "%s://%s%s" % (scheme, "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port), path)
    headers = []
    for line in open(file + ".curl"):
        text = json.loads(line.split(" = ", 1)[1])
        if text.endswith(";"):
            headers.append((text[:-1], ""))
        else:
            name, value = text.split(":", 1)
            headers.append((name, value.strip()))
    named = [name.lower() for name, value in headers]
    for hop in range(11):
        there = urllib.parse.urlsplit(url)
        if there.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            to = http.client.HTTPSConnection(there.hostname, there.port, timeout=timeout, context=context)
        else:
            to = http.client.HTTPConnection(there.hostname, there.port, timeout=timeout)
        to.putrequest("GET", (there.path or "/") + ("?" + there.query if there.query else ""),
                      skip_host="host" in named, skip_accept_encoding=True)
        for name, value in headers:
            if value or name.lower() not in ("accept", "user-agent"):
                to.putheader(name, value)
        to.endheaders()
        answer = to.getresponse()
        if action == "http":
            end(0)
        moved = answer.getheader("Location")
        if answer.status in (301, 302, 303, 307, 308) and moved:
            url = urllib.parse.urljoin(url, moved)
            if urllib.parse.urlsplit(url).hostname != there.hostname:
                end(0)
            continue
        if 200 <= answer.status < 400:
            end(0)
        end(1, "HTTP probe failed with statuscode: %d" % answer.status)
    end(1, "Get \"%s\": stopped after 10 redirects" % url)
def grpc():
    frame = lambda kind, flags, stream, body: struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body
    text = lambda value: bytes((len(value),)) + value
    header = lambda name, value: b"\0" + text(name) + text(value)
    to = socket.create_connection((host, port), timeout)
    question = open(file + ".grpc", "rb").read()
    block = b"".join(header(name, value) for name, value in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/grpc.health.v1.Health/Check"),
        (b":authority", ("%s:%d" % (host, port)).encode()[:120]), (b"content-type", b"application/grpc"), (b"te", b"trailers")))
    to.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, block) + frame(0, 1, 1, question))
    def read(size):
        data = b""
        while len(data) < size:
            part = to.recv(size - len(data))
            if not part:
                raise OSError("the connection was closed")
            data += part
        return data
    answer, last = b"", False
    while not last:
        head = read(9)
        size, kind, flags = struct.unpack(">I", b"\0" + head[:3])[0], head[3], head[4]
        stream, body = struct.unpack(">I", head[5:])[0], read(size)
        if kind == 4 and not flags & 1:
            to.sendall(frame(4, 1, 0, b""))
        elif kind == 6 and not flags & 1:
            to.sendall(frame(6, 1, 0, body))
        elif kind == 7 or kind == 3 and stream == 1:
            break
        elif stream == 1:
            if kind == 0:
                answer += body[1:-body[0] or None] if flags & 8 else body
            last = kind in (0, 1) and bool(flags & 1)
    if answer[:7] == b"\0\0\0\0\2\x08\1":
        end(0)
    if answer[:5] == b"\0\0\0\0\0" or answer[:6] == b"\0\0\0\0\2\x08":
        state = {b"\2": "NOT_SERVING", b"\3": "SERVICE_UNKNOWN"}.get(answer[6:7], "UNKNOWN")
        end(1, "service unhealthy (responded with \"%s\")" % state)
    end(1, "error: health rpc failed: this server has no such service, or no health check (grpc.health.v1.Health)")
try:
    if action == "tcp":
        socket.create_connection((host, port), timeout)
    elif action == "grpc":
        grpc()
    else:
        get()
except (OSError, http.client.HTTPException) as why:
    end(1, "failed to ask %s port %d: %s" % (host, port, why))
' "$net_action" "$net_file" "$net_host" "$net_port" "$net_path" "$net_scheme" "$net_timeout"
}
