# shellcheck shell=bash
# Sourced by install.sh: opens exactly the ports that this machine's settings name, and shuts them again.
# With ufw its rules are set; without it they are written for nftables, for the operator to take over.

# port number of a setting in .env, or its default
firewall_port() {
    local bind
    bind=$(sed -n "s/^$2=//p" "$1/.env" | tail -n 1)
    bind=${bind:-$3}
    echo "${bind##*:}"
}

# what must be open to everybody: settings folder, mode, MediaMTX's program
firewall_ports() {
    local ports=()
    [ "$2" = slave ] || ports+=("$(firewall_port "$1" MASTER_BIND 8000)")
    [ "$2" = master ] || ports+=("$(firewall_port "$1" RELAY_BIND 8080)")
    # the embedded ingest is for this machine alone
    [ "$2" = slave ] || [ -z "$3" ] || ports+=("$(firewall_port "$1" INGEST_RTMP_BIND 1935)")
    echo "${ports[*]}"
}

firewall_open() { # settings folder, mode, MediaMTX's program, networks of relays
    local port network ports
    ports=$(firewall_ports "$1" "$2" "$3")
    if [ "$2" = master ] && [ -n "$3" ] && [ -z "$4" ]; then
        warn "Relays cannot read the ingest yet: name their networks by --relays 192.168.1.0/24"
    fi
    if command -v ufw >/dev/null; then
        firewall_shut "$1"
        for port in $ports; do
            ufw allow "$port/tcp" comment AIRClass >/dev/null
            echo "allow $port/tcp" >>"$1/firewall.ufw"
        done
        for network in ${4//,/ }; do
            ufw allow from "$network" to any port 8888 proto tcp comment AIRClass >/dev/null
            echo "allow from $network to any port 8888 proto tcp" >>"$1/firewall.ufw"
        done
        say "ufw lets in: ${ports// /, }${4:+; 8888 from $4}"
        ufw status | grep -q '^Status: active' || warn "ufw is off: allow your own way in (ufw allow ssh), then ufw enable"
        return
    fi
    {
        echo "# Written by install.sh: lets in ssh and AIRClass, nothing else. Load: nft -f $1/firewall.nft"
        echo "table inet airclass"
        echo "delete table inet airclass"
        echo "table inet airclass {"
        echo "    chain input {"
        echo "        type filter hook input priority filter; policy drop;"
        echo "        ct state established,related accept"
        echo "        iif lo accept"
        echo "        meta l4proto { icmp, ipv6-icmp } accept"
        echo "        tcp dport { 22, ${ports// /, } } accept"
        for network in ${4//,/ }; do
            case $network in *:*) family=ip6 ;; *) family=ip ;; esac
            echo "        $family saddr $network tcp dport 8888 accept"
        done
        echo "    }"
        echo "}"
    } >"$1/firewall.nft"
    warn "There is no ufw: rules for nftables are in $1/firewall.nft; look at them, then nft -f $1/firewall.nft"
}

firewall_shut() { # settings folder
    local rule
    if [ -f "$1/firewall.ufw" ] && command -v ufw >/dev/null; then
        while read -r rule; do
            # shellcheck disable=SC2086
            ufw delete $rule >/dev/null || true
        done <"$1/firewall.ufw"
    fi
    rm -f "$1/firewall.ufw"
    if [ -f "$1/firewall.nft" ] && command -v nft >/dev/null; then
        nft delete table inet airclass 2>/dev/null || true
    fi
    rm -f "$1/firewall.nft"
}
