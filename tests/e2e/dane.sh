# Mail to domains whose hosts are looked up by a real resolver that validates: unbound, with a zone that is
# signed for the run. TLSA records count where they are validated, and only there (RFC 7672).
# shellcheck shell=bash

dane_zones() { # dane_zones PORT: $folder/dane/{signed,plain}.zone; the first is signed, with one bogus answer
    local digest other soa="SOA ns.\$ hostmaster.\$ 1 3600 600 86400 60" key name
    digest=$(openssl x509 -in "$folder/tls/mx.pem" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum)
    digest=${digest%% *}
    other=$(printf x | sha256sum)
    other=${other%% *}
    for name in signed plain; do
        cat >"$folder/dane/$name.zone" <<ZONE
\$ORIGIN $name.test.
\$TTL 300
@ ${soa//\$/$name.test.}
@ NS ns
ns A 127.0.0.1
@ MX 10 good
good A 127.0.0.1
_$1._tcp.good TLSA 3 1 1 $digest
bad A 127.0.0.1
_$1._tcp.bad TLSA 3 1 1 $other
bogus A 127.0.0.1
_$1._tcp.bogus TLSA 3 1 1 $digest
missing A 127.0.0.1
ZONE
    done
    (
        cd "$folder/dane"
        key=$(ldns-keygen -a ECDSAP256SHA256 -k signed.test)
        ldns-signzone -f signed.signed signed.zone "$key"
        mv signed.signed signed.zone
        cp "$key.key" signed.anchor
    )
    # What is changed behind the signature is bogus. The signer writes digests in lower case.
    sed --in-place "/^_$1\._tcp\.bogus\..*TLSA[[:space:]]3 1 1/s/$digest/$other/" "$folder/dane/signed.zone"
}

dane_resolver() { # dane_resolver PORT: unbound's configuration
    cat <<CONFIG
server:
    interface: 127.0.0.1@$1
    port: $1
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "$folder/dane"
    pidfile: "$folder/dane/unbound.pid"
    use-syslog: no
    module-config: "validator iterator"
    do-not-query-localhost: no
    trust-anchor-file: "signed.anchor"
    local-zone: "test." nodefault
auth-zone:
    name: "signed.test"
    zonefile: "signed.zone"
    for-downstream: no
    for-upstream: yes
auth-zone:
    name: "plain.test"
    zonefile: "plain.zone"
    for-downstream: no
    for-upstream: yes
remote-control:
    control-enable: no
CONFIG
}

secured_by() { # secured_by WORD RECIPIENT: what the record of the last message to it says of the next hop's TLS
    grep --fixed-strings "\"address\":\"$2\"" "$records" | tail --lines=1 |
        grep --quiet --extended-regexp "\"tls\":\"TLS[^\"]* $1\"" || { tail --lines=2 "$records"; return 1; }
}

test_dane() { # certificates are there
    local sink resolver config=$folder/dane.toml
    mkdir --parents "$folder/dane"
    take_port && sink=$port
    take_port && resolver=$port
    dane_zones "$sink" >"$folder/dane/said" 2>&1 || { cat "$folder/dane/said" >&2; exit 1; }
    dane_resolver "$resolver" >"$folder/dane/unbound.conf"
    launch "$folder/dane/unbound.log" unbound -d -c "$folder/dane/unbound.conf"
    local resolver_pid=$pid
    await "unbound that validates" answers "$resolver" || { cat "$folder/dane/unbound.log" >&2; exit 1; }
    launch "$folder/dane/sink.log" "$postern" sink --tls --certificate "$folder/tls/mx.pem" \
        --key "$folder/tls/mx.key" "127.0.0.1:$sink" 100
    local sink_pid=$pid
    await "a next hop with TLS" answers "$sink" || exit 1
    take_port && inlet=$port
    records=$folder/dane.records
    cat >"$config" <<CONFIG
hostname = "postern.example"
[[listener]]
name = "inlet"
address = ["127.0.0.1:$inlet"]
[[upstream]]
name = "internet"
servers = "mx"
mx = { port = $sink, private = ["127.0.0.0/8"], mta_sts = false }
timeout = { connect = "3s", reply = "10s", end = "30s" }
[[route]]
recipient = ["*"]
upstream = "internet"
clients = ["127.0.0.1"]
[sender]
resolver = ["127.0.0.1:$resolver"]
validates = true
spf = false
dkim = false
arc = false
dmarc = "off"
results = false
[admin]
address = "off"
[log]
records = "$records"
CONFIG
    serve dane
    check "TLSA records that match, by MX: delivered" spoken 0 '^<[-~]  250 ' --to b@signed.test
    check "and the record says that the DNS proved the host" await "a record" secured_by dane b@signed.test
    check "TLSA records that do not match: deferred" spoken 24 '^<\*\* 451 4\.4\.1 ' --to b@bad.signed.test
    check "an answer that is bogus: deferred" spoken 24 '^<\*\* 451 4\.4\.3 ' --to b@bogus.signed.test
    check "no TLSA records: delivered, to whomever" spoken 0 '^<[-~]  250 ' --to b@missing.signed.test
    check "and the record says that nothing proved the host" await "a record" secured_by none b@missing.signed.test
    check "TLSA records that nobody signed count for nothing" spoken 0 '^<[-~]  250 ' --to b@bad.plain.test
    check "a domain that does not exist: refused" spoken 24 '^<\*\* 550 5\.1\.2 ' --to b@nowhere.signed.test
    stop_postern "DANE by a real resolver"
    finish "$sink_pid" || true
    finish "$resolver_pid" || true
}
