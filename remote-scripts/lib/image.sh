# Sourced by container/apptainer: images made ready once for all pods of the account.
#
#   images/KEY/current       the name of the newest version, one line
#   images/KEY/VERSION/      rootfs/ or image.sif, id (the image's name with its digest); never changed once it has this name
#   images/KEY/lock/         held while a version is made; `by` changes every 10 s as long as the holder lives
# shellcheck shell=sh

away() { # what may go away by itself
    printf '%s\n' "$1" >&2
    exit 75
}
wrong() { # what will not
    printf '%s\n' "$1" >&2
    exit 65
}

# current: true if there is a version; sets $version.
current() {
    version=
    [ -r "$key/current" ] && read -r version <"$key/current" && [ -e "$key/$version/$what" ]
}
answer() {
    first_line "$key/$version/id"
    begin
    row image "$key/$version/$what" "$line"
    finish
    exit
}

# name_parts IMAGE: sets $registry, $repository, $reference (tag or digest) as Docker understands names.
name_parts() {
    reference=latest
    repository=$1
    case $repository in
        *@*)
            reference=${repository#*@}
            repository=${repository%%@*}
            case ${repository##*/} in
                *:*) repository=${repository%:*} ;;
            esac
            ;;
        *)
            case ${repository##*/} in
                *:*)
                    reference=${repository##*:}
                    repository=${repository%:*}
                    ;;
            esac
            ;;
    esac
    registry=${repository%%/*}
    case $registry in
        "$repository") registry=docker.io repository=library/$repository ;;
        *.* | *:* | localhost) repository=${repository#*/} ;;
        *) registry=docker.io ;;
    esac
    if [ "$registry" = docker.io ]; then
        case $repository in
            */*) ;;
            *) repository=library/$repository ;;
        esac
    fi
}

# ask PATH OPTION…: asks the registry, with a token if it wants one that is free for all. Prints headers or a body.
ask() {
    ask_path=$1
    shift
    host=$registry
    [ "$host" != docker.io ] || host='registry-1.docker.io'
    if [ -n "$token" ]; then set -- "$@" -H "Authorization: Bearer $token"; elif [ -n "$auth" ]; then set -- "$@" -K "$auth.curl"; fi
    curl -s -L -m 20 \
        -H 'Accept: application/vnd.oci.image.index.v1+json' \
        -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' \
        -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
        -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
        "$@" "$scheme://$host/v2/$repository/$ask_path" 2>/dev/null
}
# header NAME: its value in the headers on standard input.
header() { tr -d '\r' | awk -v name="$1" 'tolower($1) == name ":" { sub(/^[^:]*: */, ""); value = $0 } END { print value }'; }

# look_up: sets $digest, what the registry has under this name now; empty if that cannot be told.
look_up() {
    digest='' token=''
    command -v curl >/dev/null || return 0
    case $reference in
        *:*)
            digest=$reference
            return
            ;;
    esac
    headers=$(ask "manifests/$reference" -I)
    challenge=$(printf '%s\n' "$headers" | header www-authenticate)
    case $challenge in
        Bearer*realm=*)
            realm=${challenge#*realm=\"}
            service=${challenge#*service=\"}
            token=$(curl -s -m 20 ${auth:+-K "$auth.curl"} "${realm%%\"*}?service=${service%%\"*}&scope=repository:$repository:pull" 2>/dev/null |
                sed -n 's/.*"\(access_\)\{0,1\}token" *: *"\([^"]*\)".*/\2/p')
            [ -z "$token" ] || headers=$(ask "manifests/$reference" -I)
            ;;
    esac
    digest=$(printf '%s\n' "$headers" | header docker-content-digest)
}
# working_directory: prints the image's WORKDIR, which Apptainer does not keep.
working_directory() {
    command -v curl >/dev/null || return 0
    manifest=$(ask "manifests/${digest:-$reference}")
    case $manifest in
        *'"manifests"'*)
            case $(uname -m) in
                x86_64) architecture=amd64 ;;
                aarch64) architecture=arm64 ;;
                *) architecture=$(uname -m) ;;
            esac
            one=$(printf '%s' "$manifest" | tr -d ' \t\n' | sed 's/{"\(mediaType\|digest\|platform\|size\|annotations\)/\n&/g' |
                awk -v want="\"architecture\":\"$architecture\"" '
                    match($0, /"digest":"[^"]*"/) { last = substr($0, RSTART + 10, RLENGTH - 11) }
                    index($0, want) && !found { found = last }
                    END { print found }')
            [ -n "$one" ] || return 0
            manifest=$(ask "manifests/$one")
            ;;
    esac
    config=$(printf '%s' "$manifest" | tr -d ' \t\n' | sed -n 's/.*"config":{[^}]*"digest":"\([^"]*\)".*/\1/p')
    # The first one: what older Dockers write has another in "container_config", which is not what a container runs with.
    [ -z "$config" ] || ask "blobs/$config" | tr -d '\n' |
        awk 'match($0, /"WorkingDir" *: *"[^"\\]*"/) { split(substr($0, RSTART, RLENGTH), part, "\""); print part[4] }'
}

# make_lock: waits for its turn. False if somebody else has made a new version meanwhile.
make_lock() {
    before=$version seen='' since=0
    until mkdir "$key/lock" 2>/dev/null; do
        [ -d "$key" ] || away "failed to make $key/lock"
        sleep 1
        if current && [ "$version" != "$before" ]; then return 1; fi
        # Times of other machines are not compared: only whether something still changes.
        line=
        if [ -r "$key/lock/by" ]; then first_line "$key/lock/by"; fi
        if [ "$line" = "$seen" ]; then since=$((since + 1)); else seen=$line since=0; fi
        if [ "$since" -gt 120 ]; then
            mv "$key/lock" "$key/dead.$$" 2>/dev/null && rm -rf "$key/dead.$$"
            seen='' since=0
        fi
    done
    (
        trap 'kill "$nap" 2>/dev/null; exit' USR1
        beat=0
        while kill -0 "$main" 2>/dev/null; do
            beat=$((beat + 1))
            echo "$host_name $main $beat" >"$key/lock/by" || exit
            sleep 10 &
            nap=$!
            wait "$nap"
        done
    ) >/dev/null 2>&1 &
    heart=$!
}
release() {
    [ -z "$heart" ] || kill -USR1 "$heart" 2>/dev/null
    rm -rf "$key/lock"
    [ -z "$work" ] || remove_tree "$work"
}

# credentials USER PASSWORD TAG: for the registry. TAG tells these from others.
credentials() { user=$1 password=$2 tag=$3; }

# build WORD…: becomes Apptainer's build. The credentials are in its environment and nowhere else.
build() {
    if [ -n "$auth" ]; then
        export "APPTAINER_DOCKER_USERNAME=$user" "APPTAINER_DOCKER_PASSWORD=$password"
        export "SINGULARITY_DOCKER_USERNAME=$user" "SINGULARITY_DOCKER_PASSWORD=$password"
    fi
    APPTAINER_TMPDIR=$work/tmp SINGULARITY_TMPDIR=$work/tmp exec "$binary" build "$@"
}

# prepare ROOT IMAGE PULL FORMAT PLAIN_HTTP
# TOWLINE_AUTH: a file with the words USER PASSWORD TAG, and beside it FILE.curl, the same for curl.
prepare() {
    root=$1 image=${2#docker://} pull=$3 format=$4 plain=$5
    case $image in
        /*)
            [ -r "$image" ] || wrong "there is no image $image"
            begin
            row image "$image" -
            finish
            exit
            ;;
        '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._/:@+-]*) wrong "this is not the name of an image: $image" ;;
    esac
    image_key "$image"
    # What was pulled with credentials is for those alone who have the same.
    auth=${TOWLINE_AUTH-} tag=
    unset TOWLINE_AUTH
    [ -z "$auth" ] || with_words "$auth" credentials || away "failed to read $auth"
    key=$root/images/$key${tag:+%23$tag}
    case $format in
        sif) what=image.sif ;;
        *) what=rootfs ;;
    esac

    if current && [ "$pull" != Always ]; then answer; fi
    if [ "$pull" = Never ]; then
        echo "the image $image is not here and pull=Never" >&2
        exit 66
    fi
    mkdir -p "$key" || away "failed to make $key"
    name_parts "$image"
    scheme=https no_https=
    case ,$plain, in
        *",$registry,"*) scheme=http no_https=--no-https ;;
    esac
    look_up
    # Always means: look whether it is still the same.
    if [ -n "$version" ] && [ -n "$digest" ]; then
        first_line "$key/$version/id"
        if [ "$line" = "$registry/$repository@$digest" ]; then answer; fi
    fi

    main=$$ heart='' work='' build='' host_name=$(uname -n)
    trap 'kill "$build" 2>/dev/null; release; exit 75' TERM INT HUP
    make_lock || answer
    # Perhaps it was made while this waited.
    if current && [ "$pull" != Always ]; then
        release
        answer
    fi

    work=$(mktemp -d "$key/new.XXXXXX") || away "failed to make a directory in $key"
    mkdir "$work/tmp"
    if [ "$what" = rootfs ]; then set -- --sandbox --fix-perms; else set --; fi
    # In the background, so that a TERM is heard while it works.
    build --disable-cache ${no_https:+"$no_https"} "$@" "$work/$what" "docker://$image" >"$work/said" 2>&1 </dev/null &
    build=$!
    directory=$(working_directory)
    wait "$build"
    code=$?
    build=
    if [ "$code" != 0 ]; then
        said=$(grep -e FATAL -e ERROR "$work/said" | tail -n 3)
        said=${said:-$(tail -n 3 "$work/said")}
        release
        case $said in
            *'manifest unknown'* | *MANIFEST_UNKNOWN* | *NAME_UNKNOWN* | *'name unknown'* | *'repository name not known'* | *nauthorized* | *UNAUTHORIZED* | \
                *denied* | *DENIED* | *'reference format'* | *'no image found'* | *'not found'*) wrong "$said" ;;
        esac
        away "$said"
    fi
    [ -z "$directory" ] || [ "$what" != rootfs ] || printf '%s\n' "$directory" >"$work/rootfs/.singularity.d/towline-workdir"
    echo "$registry/$repository@${digest:-$reference}" >"$work/id"
    [ -n "$digest" ] || echo - >"$work/id"
    remove_tree "$work/tmp"
    rm -f "$work/said"
    version=v${work##*/new.}
    mv "$work" "$key/$version" && work='' && echo "$version" >"$key/current.$$" && mv -f "$key/current.$$" "$key/current" || {
        release
        away "failed to move the image into place in $key"
    }
    release
    answer
}
