# 1,000 messages that dkimpy signed, through Postern by DATA and BDAT on either side: with our fields in
# front all of them still verify by dkimpy at the next hop, and so do our seals (ARC).
# shellcheck shell=bash

peers=(timeout --foreground --kill-after=5 120 /usr/bin/python3 tests/e2e/peers.py) # Debian's interpreter has Debian's dkimpy

start_peers() { # start_peers COMMAND WORD...: next hops come before Postern; $peers_pid is theirs
    launch "$folder/peers.log" "${peers[@]}" "$@"
    peers_pid=$pid
}

peers_agree() { # whether they found nothing wrong
    local code=0
    wait "$peers_pid" || code=$?
    cat "$folder/peers.log"
    return "$code"
}

refuses_key() { # refuses_key BITS: `check` says why it does not seal with such a key
    openssl genrsa "$1" >"$folder/short.pem" 2>/dev/null || return
    sed 's/arc\.pem/short.pem/' "$config" >"$folder/short.toml" || return
    ! "$postern" check --config "$folder/short.toml" >"$folder/refused" 2>&1 || return
    grep --quiet 'short.pem is neither an RSA key of 2048 to 8192 bits' "$folder/refused" || { cat "$folder/refused"; return 1; }
}

test_dkim() {
    local plain chunking dns
    "${peers[@]}" keys "$folder"
    take_port && plain=$port
    take_port && chunking=$port
    take_port && dns=$port
    take_port && inlet=$port
    config=$folder/dkim.toml records=$folder/dkim.records
    cat >"$config" <<CONFIG
hostname = "postern.example"
[[listener]]
name = "inlet"
address = ["127.0.0.1:$inlet"]
[[upstream]]
name = "plain"
servers = ["127.0.0.1:$plain"]
[[upstream]]
name = "chunking"
servers = ["127.0.0.1:$chunking"]
[[route]]
recipient = ["plain.test"]
upstream = "plain"
[[route]]
recipient = ["chunks.test"]
upstream = "chunking"
[sender]
resolver = ["127.0.0.1:$dns"]
seal = { domain = "postern.test", selector = "arc", key = "arc.pem" }
[admin]
address = "off"
[log]
records = "$records"
CONFIG
    start_peers dkim "$folder" "$inlet" "$dns" "$plain" "$chunking"
    await "a next hop" answers "$chunking" || exit 1
    serve dkim
    check "dkimpy: 1,000 signed messages by DATA and BDAT, in and out" peers_agree
    check "a key of 1024 bits seals nothing" refuses_key 1024
    stop_postern "dkimpy"
}
