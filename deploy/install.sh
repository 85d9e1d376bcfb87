#!/bin/bash
# Installs AIRClass on one Debian or Ubuntu machine, without Docker, with systemd. Run as root from a checkout:
#
#   deploy/install.sh                          one PC: ingest, master and relay (MODE=standalone)
#   deploy/install.sh --master                 the master of a cluster
#   deploy/install.sh --slave --master-url http://192.168.1.10:8000 --cluster-secret-file FILE
#                     [--public-url http://192.168.1.11:8080] [--zone 10.1.0.0/16] [--max 150]
#   deploy/install.sh --uninstall [--purge]    take it away; --purge also settings and data
#   options: --no-start, --firewall (opens exactly the ports in use, by ufw)
#
# It asks nothing, and running it again upgrades: the new version is installed beside the old one, the link
# `current` is moved, services are restarted. For a relay at work: `airclass drain NODE` first.
set -euo pipefail

mode=standalone master_url='' secret_file='' public_url='' zone='' max='' start=yes firewall=no
while [ $# -gt 0 ]; do
    case $1 in
    --master) mode=master ;;
    --slave) mode=slave ;;
    --uninstall) mode=uninstall ;;
    --purge) purge=yes ;;
    --no-start) start=no ;;
    --firewall) firewall=yes ;;
    --master-url) master_url=${2:?--master-url needs an address} && shift ;;
    --cluster-secret-file) secret_file=${2:?--cluster-secret-file needs a file} && shift ;;
    --public-url) public_url=${2:?--public-url needs an address} && shift ;;
    --zone) zone=${2:?--zone needs networks} && shift ;;
    --max) max=${2:?--max needs a number} && shift ;;
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
say() { echo "[OK] $*"; }
fail() {
    echo "[ERROR] $*" >&2
    exit 2
}
systemd() { [ -n "$root" ] || systemctl "$@"; }
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || fail "Run it as root: sudo $0"

if [ "$mode" = uninstall ]; then
    for unit in "$units"/airclass-*; do
        [ -e "$unit" ] || continue
        systemd disable --now "$(basename "$unit")" 2>/dev/null || true
        rm -f "$unit"
    done
    systemd daemon-reload
    rm -rf "$opt"
    if [ "${purge:-no}" = yes ]; then
        rm -rf "$etc" "$var"
        say "AIRClass, its settings and its data are gone."
    else
        say "AIRClass is gone; settings stay in $etc, data in $var."
    fi
    exit 0
fi

if [ "$mode" = slave ] && [ ! -f "$etc/.env" ]; then
    [ -n "$master_url" ] || fail "A slave needs --master-url: the address of the master."
    [ -f "$secret_file" ] || fail "A slave needs --cluster-secret-file: a copy of the master's $etc/secrets/cluster-secret."
fi
python=$("$source/deploy/setup/find-python.sh")
[ -n "$python" ] || fail "Python 3.11 or newer is missing: apt install python3 python3-venv"

# ---- the program
version=$(sed -nE 's/^__version__ = "(.*)"/\1/p' "$source/relay/__init__.py")
target=$opt/$version-$(date +%Y%m%d%H%M%S)
mkdir -p "$opt" "$units"
"$python" -m venv "$target" || fail "apt install python3-venv, then run this again."
"$target/bin/pip" install --quiet --disable-pip-version-check -c "$source/constraints.txt" "$source"
ln -sfn "$(basename "$target")" "$opt/current"
# the version before stays, so that one can go back: ln -sfn <old> /opt/airclass/current
find "$opt" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' | sort | head -n -2 | xargs -r rm -rf
say "AIRClass $version is in $target"

# ---- user, folders, secrets
if [ -z "$root" ]; then
    id airclass >/dev/null 2>&1 ||
        useradd --system --home-dir /var/lib/airclass --shell /usr/sbin/nologin airclass
fi
owner() { [ -n "$root" ] || chown "$@"; }
install -d -m 0750 "$etc"
install -d -m 0700 "$etc/secrets" "$var" "$root/var/backups/airclass"
owner root:airclass "$etc"
owner airclass:airclass "$var"
secret() {
    [ -s "$etc/secrets/$1" ] || (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$etc/secrets/$1")
}
if [ "$mode" = slave ]; then
    [ -z "$secret_file" ] || install -m 0600 "$secret_file" "$etc/secrets/cluster-secret"
else
    secret jwt-secret-key
    secret cluster-secret
    secret hls-cdn-secret
fi
if [ ! -f "$etc/.env" ]; then
    {
        echo "# Settings of this machine; all of them are explained in .env.example of the source."
        echo "MODE=$mode"
        echo "DATA_DIR=${var#"$root"}"
        echo "CLUSTER_SECRET_FILE=${etc#"$root"}/secrets/cluster-secret"
        if [ "$mode" != slave ]; then
            echo "JWT_SECRET_KEY_FILE=${etc#"$root"}/secrets/jwt-secret-key"
            echo "HLS_CDN_SECRET_FILE=${etc#"$root"}/secrets/hls-cdn-secret"
        fi
        [ -z "$master_url" ] || echo "MASTER_URL=$master_url"
        [ -z "$public_url" ] || echo "NODE_PUBLIC_URL=$public_url"
        [ -z "$zone" ] || echo "NODE_ZONE=$zone"
        [ -z "$max" ] || echo "MAX_CONNECTIONS=$max"
    } >"$etc/.env"
    chmod 0640 "$etc/.env"
    owner root:airclass "$etc/.env"
    say "Settings are in $etc/.env"
else
    say "Settings in $etc/.env are kept."
fi

# ---- services
wanted=(airclass-$mode.service)
[ "$mode" = slave ] || wanted+=(airclass-backup.service airclass-backup.timer)
for unit in "${wanted[@]}"; do
    install -m 0644 "$source/deploy/systemd/$unit" "$units/$unit"
done
systemd daemon-reload
if [ "$firewall" = yes ]; then
    case $mode in
    standalone) ports="8000/tcp 8080/tcp 1935/tcp" ;;
    master) ports="8000/tcp 1935/tcp" ;;
    slave) ports="8080/tcp" ;;
    esac
    command -v ufw >/dev/null || fail "ufw is missing: apt install ufw, or see the nftables rules in docs/PRODUCTION_DEPLOYMENT.md."
    for port in $ports; do ufw allow "$port" >/dev/null; done
    say "The firewall lets in $ports"
fi
if [ "$start" = yes ] && [ -z "$root" ]; then
    systemctl enable --quiet "airclass-$mode.service"
    systemctl restart "airclass-$mode.service"
    [ "$mode" = slave ] || systemctl enable --quiet --now airclass-backup.timer
    say "airclass-$mode runs: journalctl -u airclass-$mode"
fi
