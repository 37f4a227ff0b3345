# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# Registries that stop in the middle, or want to know who asks. (Tools: 84-images.sh.)

# odd_registry PORT LAYER USER: a registry on the login node with what the testbed's has. Of LAYER it sends half and then
# nothing more, until /tmp/stall.over is there; it answers USER:PASSWORD alone. (`-`: no such layer, anybody.)
odd_registry() {
    docker exec -i "$(container_of login)" sh -c 'rm -f /tmp/stall.over; cat >/tmp/odd.py' <<'PYTHON'
import base64, http.server, os, socketserver, sys, time, urllib.error, urllib.request
port, source, layer, user = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_HEAD(self):
        self.do_GET()
    def do_GET(self):
        wanted = 'Basic ' + base64.b64encode(user.encode()).decode()
        if user != '-' and self.headers.get('Authorization') != wanted:
            self.send_response(401)
            self.send_header('WWW-Authenticate', 'Basic realm="odd"')
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        asked = urllib.request.Request(source + self.path, method=self.command, headers={'Accept': self.headers.get('Accept', '*/*')})
        try:
            got = urllib.request.urlopen(asked)
        except urllib.error.HTTPError as error:
            got = error
        body = got.read()
        self.send_response(got.status)
        for name in ('Content-Type', 'Docker-Content-Digest'):
            if got.headers.get(name):
                self.send_header(name, got.headers[name])
        self.send_header('Content-Length', got.headers.get('Content-Length', str(len(body))))
        self.end_headers()
        if self.command != 'GET':
            return
        if self.path.endswith(layer) and not os.path.exists('/tmp/stall.over'):
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            time.sleep(600)
        else:
            self.wfile.write(body)
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
Server(('', int(port)), Handler).serve_forever()
PYTHON
    docker exec -d "$(container_of login)" timeout 900 python3 /tmp/odd.py "$1" "http://$TESTBED_REGISTRY" "$2" "$3"
    answers() { docker exec "$(container_of login)" curl -s -o /dev/null "http://login:$1/v2/"; }
    wait_for 30 'the odd registry' answers "$1"
}

# It is given up, all pods that wait for the image hear why, and it goes on when the registry does.
case_a_pull_that_stalls() {
    port=$((20000 + RANDOM % 8000))
    odd_registry "$port" "$(manifest_of busybox 1 | jq -r '.layers[0].digest')" -
    trap 'docker exec "$(container_of login)" touch /tmp/stall.over; "$driver" node --name "$name" --no-build >/dev/null' EXIT
    with_config "s|^images:|images:\n  pullProgressDeadline: 15s|; s|plainHTTP: \[|plainHTTP: [\"login:$port\", |"
    for one in stalls waits; do
        pod "$one" <<END
containers: [{name: main, image: "login:$port/busybox:1", command: [echo, "$one"], resources: {requests: {cpu: 100m, memory: 100Mi}}}]
END
    done
    gave_up() { told "$1" Failed | grep -qF "the pull from login:$port was given up: nothing has come for 15 s"; }
    wait_for 180 'the pull to be given up' gave_up stalls
    wait_for 180 'the other pod to hear of it' gave_up waits
    same 'which container' 'spec.containers{main}' "$(k get events --field-selector involvedObject.name=stalls,reason=Failed -o 'jsonpath={.items[0].involvedObject.fieldPath}')"
    docker exec "$(container_of login)" touch /tmp/stall.over
    until_phase stalls Succeeded
    until_phase waits Succeeded
}

# Credentials are for whom they name, mirrors as well. A secret that is not there is told, and the image may not need it.
case_pull_secrets_of_mirrors() {
    port=$((20000 + RANDOM % 8000)) secret=s3cr3t-$RANDOM
    odd_registry "$port" - "me:$secret"
    trap '"$driver" node --name "$name" --no-build >/dev/null' EXIT
    with_config "s|plainHTTP: \[|plainHTTP: [\"registry:5013\", \"login:$port\", |; s|rewrites: \[|rewrites: [{from: docker.io/locked/, to: \"registry:5013/\", mirrors: [\"login:$port/\"]}, |"
    k create secret docker-registry mirror --docker-server="http://login:$port" --docker-username=me --docker-password="$secret" >/dev/null
    for one in known unknown; do
        names='{name: nowhere}'
        [ "$one" = unknown ] || names="$names, {name: mirror}"
        pod "$one" <<END
imagePullSecrets: [$names]
containers: [{name: main, image: locked/busybox:1, command: [echo, here]}]
END
    done
    until_phase known Succeeded
    has "$(image_id known)" "login:$port/busybox@sha256:"
    until_event known FailedToRetrieveImagePullSecret
    has "$(told known FailedToRetrieveImagePullSecret)" 'Unable to retrieve some image pull secrets (nowhere); attempting to pull the image may not succeed.'
    # What was pulled with them is for nobody else.
    refused() { told unknown Failed | grep -q "login:$port/busybox:1: .*401 Unauthorized"; }
    wait_for 120 'the refusal' refused
    k delete pod unknown --wait=false >/dev/null
}
