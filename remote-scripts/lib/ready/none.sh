# Sourced by pod/supervisor: without images there is nothing to prepare.
# shellcheck shell=sh disable=SC2034
image_ready() { path=- id=- size=-; }
