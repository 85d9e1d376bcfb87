# shellcheck shell=bash
# Sourced by install.sh: what MediaMTX beside a master is told.

# a setting of .env, or a default: settings folder, name, default
ingest_setting() {
    local value
    value=$(sed -n "s/^$2=//p" "$1/.env" | tail -n 1)
    echo "${value:-$3}"
}

# MediaMTX's environment: settings folder
ingest_environment() {
    local bind master
    bind=$(ingest_setting "$1" MASTER_BIND 0.0.0.0:8000)
    master=http://127.0.0.1:${bind##*:}
    # a certificate is for a name, which MASTER_URL holds
    [ -z "$(ingest_setting "$1" TLS_CERT '')" ] || master=$(ingest_setting "$1" MASTER_URL "https://localhost:${bind##*:}")
    echo "MTX_HLSCDNSECRET=$(cat "$1/secrets/hls-cdn-secret")"
    echo "MTX_AUTHHTTPADDRESS=${master%/}/hooks/mediamtx/auth"
    echo "MTX_HLSADDRESS=:8888"
    [ "$(ingest_setting "$1" LOG_FORMAT text)" != json ] || echo "MTX_LOGSTRUCTURED=yes"
}
