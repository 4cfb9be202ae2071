# Names and words that are commands, fields and records to whoever is careless, with a real resolver between:
# unbound, whose zone has what PTR records may hold (RFC 2181 §11: any octet). Nothing of it comes out as a
# command, a field or a line of its own.
# shellcheck shell=bash

hostile_names() { # labels as a zone file has them, one a line
    cat <<'NAMES'
honest
evil\013\010RSET\013\010MAIL
evil\010QUIT
evil\000nul
evil\027[31mescape
evil\255\254eight
evil\127delete
evil\034quote
evil\059semicolon
evil\092backslash
evil\040bracket
evil\032space
evil\009tab
evil\044comma
evil\060angle\062
evil\013\010X-Injected:\032yes
NAMES
}

resolver_config() { # resolver_config PORT
    local number=0 name
    cat <<CONFIG
server:
    interface: 127.0.0.1@$1
    port: $1
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "$folder"
    pidfile: "$folder/unbound.pid"
    use-syslog: no
    module-config: "iterator"
    do-not-query-localhost: no
    local-zone: "2.0.192.in-addr.arpa." static
    local-zone: "test." static
    local-zone: "example." static
    local-data: 'x.test. TXT "v=spf1 -all"'
    local-data: 'honest.test. A 192.0.2.1'
CONFIG
    while IFS= read -r name; do
        number=$((number + 1))
        printf "    local-data: '%s.2.0.192.in-addr.arpa. PTR %s.test.'\n" "$number" "$name"
    done < <(hostile_names)
    printf 'remote-control:\n    control-enable: no\n'
}

serves_names() { # whether the resolver gives the most hostile name as it stands in its zone
    local said
    said=$(/usr/bin/python3 - "$resolver" <<'ASK'
import socket, sys
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.settimeout(5)
name = b"".join(bytes([len(label)]) + label for label in b"2.2.0.192.in-addr.arpa".split(b"."))
asker.sendto(b"ab\x01\0\0\x01\0\0\0\0\0\0" + name + b"\0\0\x0c\0\x01", ("127.0.0.1", int(sys.argv[1])))
print(b"evil\r\nRSET\r\nMAIL" in asker.recv(4096))
ASK
    )
    [[ $said == True ]]
}

test_hostile() {
    local plain resolver
    take_port && plain=$port
    take_port && resolver=$port
    resolver_config "$resolver" >"$folder/unbound.conf"
    launch "$folder/unbound.log" unbound -d -c "$folder/unbound.conf"
    local resolver_pid=$pid
    await "unbound" answers "$resolver" || { cat "$folder/unbound.log" >&2; exit 1; }
    check "unbound serves a name with line ends" serves_names
    take_port && inlet=$port
    config=$folder/hostile.toml records=$folder/hostile.records
    cat >"$config" <<CONFIG
hostname = "postern.example"
[[listener]]
name = "inlet"
address = ["127.0.0.1:$inlet"]
proxy_protocol = ["127.0.0.1"]
[[upstream]]
name = "plain"
servers = ["127.0.0.1:$plain"]
identity = "xforward"
[[route]]
recipient = ["plain.test"]
upstream = "plain"
[sender]
resolver = ["127.0.0.1:$resolver"]
dmarc = "mark"
[admin]
address = "off"
[log]
records = "$records"
CONFIG
    start_peers hostile "$inlet" "$plain" "$records"
    await "a next hop" answers "$plain" || exit 1
    serve hostile
    check "hostile names and words: no command, no field, no line of theirs" peers_agree
    stop_postern "hostile words"
    finish "$resolver_pid" || true
}
