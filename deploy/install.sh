#!/bin/bash
# Installs AIRClass on one Debian or Ubuntu machine, without Docker, with systemd. Run as root from a checkout:
#
#   deploy/install.sh                          one PC: ingest, master and relay (MODE=standalone)
#   deploy/install.sh --master                 the master of a cluster, and its ingest
#   deploy/install.sh --slave --join URL#TOKEN a relay, with what "airclass node add" printed on the master
#   deploy/install.sh --slave --master-url http://192.168.1.10:8000 --cluster-secret-file FILE
#   deploy/install.sh --uninstall [--purge]    take it away; --purge also settings, data and backups
#
#   --master-url URL     slave: where the master is; master: its address, if not http://<first address>:8000
#   --public-url URL     where students reach this relay, if not http://<first address>:8080
#   --zone NETWORKS      whose students this relay serves first; --max N: how many it takes
#   --mediamtx FILE      MediaMTX's program; without it the one on PATH
#   --firewall           open exactly the ports in use, by ufw; without ufw the rules for nftables are written
#   --relays NETWORKS    master: from where the firewall lets relays read the ingest (port 8888)
#   --no-start           do not start anything
#
# It asks nothing. Running it again, also without options, upgrades: the new version is installed beside the old one, the link
# `current` is moved, the service is restarted, and goes back to the old version if the new one does not
# start. A relay that is restarted first lets its students move to the others.
set -euo pipefail

mode='' join='' master_url='' secret_file='' public_url='' zone='' max='' mediamtx='' relays=''
start=yes firewall=no purge=no
while [ $# -gt 0 ]; do
    case $1 in
    --master) mode=master ;;
    --slave) mode=slave ;;
    --uninstall) mode=uninstall ;;
    --purge) purge=yes ;;
    --no-start) start=no ;;
    --firewall) firewall=yes ;;
    --master-url) master_url=${2:?--master-url needs an address} && shift ;;
    --join) join=${2:?--join needs URL#TOKEN} && shift ;;
    --cluster-secret-file) secret_file=${2:?--cluster-secret-file needs a file} && shift ;;
    --public-url) public_url=${2:?--public-url needs an address} && shift ;;
    --zone) zone=${2:?--zone needs networks} && shift ;;
    --max) max=${2:?--max needs a number} && shift ;;
    --mediamtx) mediamtx=${2:?--mediamtx needs a file} && shift ;;
    --relays) relays=${2:?--relays needs networks} && shift ;;
    *)
        echo "Unknown option $1: see the head of $0." >&2
        exit 2
        ;;
    esac
    shift
done

# AIRCLASS_ROOT is for packagers and tests: everything goes below it, and nothing is started
root=${AIRCLASS_ROOT:-}
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
opt=$root/opt/airclass etc=$root/etc/airclass var=$root/var/lib/airclass units=$root/etc/systemd/system
backups=$root/var/backups/airclass command=$root/usr/local/bin/airclass
say() { echo "[OK] $*"; }
warn() { echo "[WARN] $*"; }
fail() {
    echo "[ERROR] $*" >&2
    exit 2
}
systemd() { [ -n "$root" ] || systemctl "$@"; }
owner() { [ -n "$root" ] || chown "$@"; }
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || fail "Run it as root: sudo $0"
[ -n "$root" ] || [ -d /run/systemd/system ] || fail "This machine does not run systemd: use Docker, see docs/QUICKSTART.md."
# shellcheck source=setup/firewall.sh
. "$source/deploy/setup/firewall.sh"
# shellcheck source=setup/ingest.sh
. "$source/deploy/setup/ingest.sh"

# ------------------------------------------------------------------------------------ take away
if [ "$mode" = uninstall ]; then
    for unit in "$units"/airclass-*; do
        [ -e "$unit" ] || continue
        systemd disable --quiet --now "$(basename "$unit")" 2>/dev/null || true
        rm -f "$unit"
    done
    systemd daemon-reload
    [ -n "$root" ] || firewall_shut "$etc"
    rm -rf "$opt" "$command"
    if [ "$purge" = yes ]; then
        rm -rf "$etc" "$var" "$backups"
        [ -n "$root" ] || ! id airclass >/dev/null 2>&1 || userdel airclass
        say "AIRClass, its settings, its data and its backups are gone."
    else
        say "AIRClass is gone; settings stay in $etc, data in $var, backups in $backups."
    fi
    exit 0
fi

# ------------------------------------------------------------------------------------ check first
before=''
[ ! -f "$etc/.env" ] || before=$(sed -n 's/^MODE=//p' "$etc/.env" | tail -n 1)
mode=${mode:-${before:-standalone}} # run again without a word, it upgrades what this machine is
if [ -n "$join" ]; then
    case $join in
    http://*'#'* | https://*'#'*) master_url=${master_url:-${join%%'#'*}} ;;
    *) fail "--join needs URL#TOKEN: copy what airclass node add printed on the master." ;;
    esac
fi
if [ "$mode" = slave ] && [ ! -f "$etc/.env" ]; then
    [ -n "$master_url" ] || fail "A slave needs --join URL#TOKEN (airclass node add prints it on the master), or --master-url and --cluster-secret-file."
    [ -n "$join" ] || [ -f "$secret_file" ] || fail "A slave needs --cluster-secret-file: a copy of the master's /etc/airclass/secrets/cluster-secret."
fi
if [ -n "$before" ]; then
    [ "$before" = "$mode" ] || fail "This machine is a $before: deploy/install.sh --uninstall first, and move $etc/.env away."
fi
[ -z "$mediamtx" ] || [ -x "$mediamtx" ] || fail "--mediamtx $mediamtx is not a program."
[ -n "$mediamtx" ] || mediamtx=$(PATH=$PATH:$opt/bin command -v mediamtx || true)
python=$("$source/deploy/setup/find-python.sh")
[ -n "$python" ] || fail "Python 3.11 or newer is missing: apt install python3 python3-venv"
"$python" -c 'import ensurepip' 2>/dev/null || fail "python3-venv is missing: apt install python3-venv"
address=$(hostname -I 2>/dev/null | awk '{print $1}')
address=${address:-localhost}

# ------------------------------------------------------------------------------------ the program
version=$(sed -nE 's/^__version__ = "(.*)"/\1/p' "$source/relay/__init__.py")
target=$opt/$version-$(date +%Y%m%d%H%M%S)
previous=$(readlink "$opt/current" 2>/dev/null || true)
[ "$mode" = slave ] || "$source/deploy/setup/pages.sh" "$python"
mkdir -p "$opt" "$units" "$(dirname "$command")"
trap 'rm -rf "$target"' EXIT # a version that is not whole is not there
# a class may be going on: students first
nice -n 19 "$source/deploy/setup/program.sh" "$python" "$source" "$target"
mkdir "$target/deploy"
cp -R "$source/deploy/scripts" "$source/deploy/mediamtx" "$target/deploy/"
trap - EXIT
ln -sfn "$(basename "$target")" "$opt/current"
install -m 0755 "$source/deploy/setup/airclass-command.sh" "$command"
# the version before stays, so that one can go back
find "$opt" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -printf '%T@ %p\n' | sort -n | head -n -2 |
    cut -d' ' -f2- | xargs -r rm -rf
say "AIRClass $version is in $target"

# ------------------------------------------------------------------------------------ user, folders, secrets
if [ -z "$root" ] && ! id airclass >/dev/null 2>&1; then
    useradd --system --home-dir /var/lib/airclass --shell /usr/sbin/nologin airclass
fi
install -d -m 0750 "$etc" "$etc/secrets"
install -d -m 0700 "$var" "$backups"
owner root:airclass "$etc" "$etc/secrets"
owner airclass:airclass "$var"
secret() {
    [ -s "$etc/secrets/$1" ] || (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$etc/secrets/$1")
}
if [ "$mode" = slave ]; then
    [ -z "$secret_file" ] || install -m 0640 "$secret_file" "$etc/secrets/cluster-secret"
    # a relay that joins by a token has no such secret; its service finds an empty one
    [ -e "$etc/secrets/cluster-secret" ] || : >"$etc/secrets/cluster-secret"
    [ -z "$join" ] || (umask 077 && printf '%s' "$join" >"$etc/secrets/node-join")
else
    secret jwt-secret-key
    secret cluster-secret
    secret hls-cdn-secret
fi

# ------------------------------------------------------------------------------------ MediaMTX
if [ "$mode" != slave ]; then
    if [ -n "$mediamtx" ]; then
        # with systemd's own folders for programs; `install` replaces a running program safely
        [ "$mediamtx" -ef "$opt/bin/mediamtx" ] || install -D -m 0755 "$mediamtx" "$opt/bin/mediamtx"
        say "MediaMTX $("$opt/bin/mediamtx" --version) is in $opt/bin"
    elif [ "$mode" = master ]; then
        warn "MediaMTX is not here: put 1.20 or newer on PATH and run this again, or set INGEST_HLS_URL to where it runs."
    else
        warn "MediaMTX is not here: only this PC can teach. Put 1.20 or newer on PATH and run this again."
    fi
fi
if [ "$mode" = master ] && [ -n "$mediamtx" ]; then
    [ -f "$etc/mediamtx.yml" ] || install -m 0644 "$source/deploy/mediamtx/mediamtx.yml" "$etc/mediamtx.yml"
fi

# ------------------------------------------------------------------------------------ settings
if [ ! -f "$etc/.env" ]; then
    case $mode in
    slave) public_url=${public_url:-http://$address:8080} ;;
    *) master_url=${master_url:-http://$address:8000} ;;
    esac
    {
        echo "# Settings of this machine; all of them are explained in .env.example of the source."
        echo "MODE=$mode"
        echo "DATA_DIR=${var#"$root"}"
        echo "CLUSTER_SECRET_FILE=${etc#"$root"}/secrets/cluster-secret"
        [ -z "$join" ] || echo "NODE_JOIN_FILE=${etc#"$root"}/secrets/node-join"
        if [ "$mode" != slave ]; then
            echo "JWT_SECRET_KEY_FILE=${etc#"$root"}/secrets/jwt-secret-key"
            echo "HLS_CDN_SECRET_FILE=${etc#"$root"}/secrets/hls-cdn-secret"
        fi
        echo "MASTER_URL=$master_url"
        if [ "$mode" = master ]; then
            echo "INGEST_HLS_URL=http://$address:8888"
            echo "INGEST_API_URL=http://127.0.0.1:9997"
        fi
        [ "$mode" = slave ] || [ -z "$mediamtx" ] || echo "MEDIAMTX_PATH=${opt#"$root"}/bin/mediamtx"
        [ -z "$public_url" ] || echo "NODE_PUBLIC_URL=$public_url"
        [ -z "$zone" ] || echo "NODE_ZONE=$zone"
        [ -z "$max" ] || echo "MAX_CONNECTIONS=$max"
    } >"$etc/.env"
    say "Settings are in $etc/.env"
else
    if [ -n "$join" ] && ! grep -q '^NODE_JOIN_FILE=' "$etc/.env"; then
        echo "NODE_JOIN_FILE=${etc#"$root"}/secrets/node-join" >>"$etc/.env"
    fi
    if [ "$mode" != slave ] && [ -n "$mediamtx" ] && ! grep -q '^MEDIAMTX_PATH=' "$etc/.env"; then
        echo "MEDIAMTX_PATH=${opt#"$root"}/bin/mediamtx" >>"$etc/.env"
    fi
    say "Settings in $etc/.env are kept."
fi
if [ "$mode" = master ] && [ -n "$mediamtx" ]; then
    (umask 077 && ingest_environment "$etc" >"$etc/secrets/mediamtx.env")
fi
chmod 0640 "$etc/.env" "$etc"/secrets/*
owner root:airclass "$etc/.env" "$etc"/secrets/*

# ------------------------------------------------------------------------------------ services
services=("airclass-$mode.service")
[ "$mode" != master ] || [ -z "$mediamtx" ] || services+=(airclass-ingest.service)
wanted=("${services[@]}")
[ "$mode" = slave ] || wanted+=(airclass-backup.service airclass-backup.timer)
for unit in "${wanted[@]}"; do
    install -m 0644 "$source/deploy/systemd/$unit" "$units/$unit"
done
systemd daemon-reload
[ "$firewall" = no ] || firewall_open "$etc" "$mode" "$mediamtx" "$relays"
[ "$start" = yes ] && [ -z "$root" ] || exit 0
systemctl enable --quiet "${services[@]}"
if ! systemctl restart "${services[@]}"; then
    journalctl --quiet --no-pager --lines 20 --unit "airclass-$mode" >&2 || true
    [ -n "$previous" ] || fail "airclass-$mode does not start: the lines above say why."
    ln -sfn "$previous" "$opt/current"
    systemctl restart "${services[@]}" || fail "Neither $version nor $previous starts: the lines above say why."
    fail "AIRClass $version does not start: the lines above say why. $previous runs again."
fi
[ "$mode" = slave ] || systemctl enable --quiet --now airclass-backup.timer
for unit in "${services[@]}"; do say "$unit runs: journalctl -u ${unit%.service}"; done
case $mode in
slave) say "Students reach this relay at $(sed -n 's/^NODE_PUBLIC_URL=//p' "$etc/.env")" ;;
*) say "Open $(sed -n 's/^MASTER_URL=//p' "$etc/.env")/admin; the first time by the link that this prints: airclass token link --user admin --next /admin" ;;
esac
