# Sourced by pod/supervisor and lib/image.sh: where a prepared image is, told without starting a process.
# shellcheck shell=sh disable=SC2034

# image_key IMAGE: sets $key, a name that a directory can have, and no two images the same.
image_key() {
    key='' rest=$1
    while :; do
        part=${rest%%[/:]*}
        key=$key$part
        [ "$part" != "$rest" ] || break
        rest=${rest#"$part"}
        case $rest in
            /*) key=$key%2F ;;
            *) key=$key%3A ;;
        esac
        rest=${rest#?}
    done
}

# image_ready ROOT IMAGE PULL FORMAT: sets $path, $id and $size if the image can be used as it is; false if it has to be prepared.
image_ready() {
    case $3:$2 in
        Always:* | *:/* | *: | *:[!A-Za-z0-9]* | *[!A-Za-z0-9._/:@+-]*) return 1 ;;
    esac
    find_program apptainer || find_program singularity || return 1
    image_key "${2#docker://}"
    case $4 in
        sif) what=image.sif ;;
        *) what=rootfs ;;
    esac
    [ -r "$1/images/$key/current" ] && read -r version <"$1/images/$key/current" || return 1
    path=$1/images/$key/$version/$what
    # First used and then found: whoever removes images looks in the other order.
    printf '' 2>/dev/null >"$1/images/$key/$version/used" && [ -e "$path" ] || return 1
    first_line "$1/images/$key/$version/size"
    size=$line
    if is_number "$size"; then size=$((size * 1024)); fi
    first_line "$1/images/$key/$version/id"
    id=$line
}
