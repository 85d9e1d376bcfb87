#!/bin/bash
# The `airclass` command of a machine that install.sh set up: with its settings, as the user of its services.
set -eu
current=/opt/airclass/current
case ${1:-} in
backup | restore)
    # these read and write files that only root may, in the folder of the settings
    name=$1
    shift
    exec "$current/deploy/scripts/$name-cluster.sh" "$@"
    ;;
esac
cd /etc/airclass 2>/dev/null || {
    echo "This needs the rights of root: sudo airclass $*" >&2
    exit 2
}
if [ "$(id -u)" -eq 0 ]; then
    exec setpriv --reuid=airclass --regid=airclass --init-groups env HOME=/var/lib/airclass "$current/bin/airclass" "$@"
fi
exec "$current/bin/airclass" "$@"
