# TLS between real peers: openssl, swaks and testssl.sh as clients, a Postfix that insists on TLS as
# next hop. Certificates are of an authority that is made for the run.
# shellcheck shell=bash

make_certificates() { # $folder/tls/{ca.pem,mx.pem,mx.key}: for localhost, readable to all
    local tls=$folder/tls
    mkdir --parents "$tls"
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=e2e authority" \
            -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$tls/ca.key" -out "$tls/ca.pem"
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
            -keyout "$tls/mx.key" -out "$tls/mx.csr"
        # Without a way to revoke it, testssl.sh thinks ill of any certificate.
        printf '%s\n' subjectAltName=DNS:localhost,IP:127.0.0.1 extendedKeyUsage=serverAuth \
            keyUsage=critical,digitalSignature crlDistributionPoints=URI:http://crl.example.net/ca.crl \
            >"$tls/mx.ext"
        openssl x509 -req -in "$tls/mx.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 300 \
            -extfile "$tls/mx.ext" -out "$tls/mx.pem"
    } 2>"$folder/tls/said" || { cat "$folder/tls/said" >&2; exit 1; }
    cat "$tls/mx.key" "$tls/mx.pem" >"$tls/both.pem"
    chmod 644 "$tls"/*.pem "$tls"/*.key
}

start_tls_postern() { # start_tls_postern NEXT_HOP_PORT: sets $inlet (STARTTLS) and $implicit_inlet
    local config=$folder/tls.toml own="certificate = \"tls/mx.pem\", key = \"tls/mx.key\""
    take_port && inlet=$port
    take_port && implicit_inlet=$port
    records=$folder/tls.records
    cat >"$config" <<CONFIG
hostname = "postern.example"
[workers]
message = "4MiB"
[[listener]]
name = "starttls"
address = ["127.0.0.1:$inlet"]
tls = { mode = "require", $own }
[[listener]]
name = "implicit"
address = ["127.0.0.1:$implicit_inlet"]
tls = { mode = "implicit", $own }
[[upstream]]
name = "next-hop"
servers = ["127.0.0.1:$1"]
tls = { mode = "verify", ca = "tls/ca.pem", name = "localhost" }
pool = { warm = 1, max = 8 }
[[route]]
recipient = ["example.net"]
upstream = "next-hop"
[admin]
address = "off"
[log]
records = "$records"
CONFIG
    serve tls
}

test_tls() { # Postfix is running
    start_tls_postern "$tls_port"
    local name
    for name in plain eight-bit streamed; do
        check "STARTTLS on both legs, $name by swaks: same content" relayed "$name" by_swaks --tls
        check "TLS at once, $name by swaks: same content" \
            relayed "$name" by_swaks --port "$implicit_inlet" --tls-on-connect
    done
    for name in plain dots eight-bit streamed; do
        check "STARTTLS on both legs, $name by BDAT: same content" relayed "$name" postern_source --tls --bdat
        check "STARTTLS on both legs, $name by DATA: same content" relayed "$name" postern_source --tls
    done
    check "Postfix was given STARTTLS" said_to_postfix STARTTLS
    check "mail in clear is refused" spoken 23 '^<\*\* 530 5\.7\.0'
    check "openssl: TLS 1.3 by STARTTLS" greeted_by_openssl "$inlet" -starttls smtp -tls1_3
    check "openssl: TLS 1.2 by STARTTLS" greeted_by_openssl "$inlet" -starttls smtp -tls1_2
    check "openssl: TLS 1.3 at once" greeted_by_openssl "$implicit_inlet" -tls1_3
    for name in tls1 tls1_1; do
        check "openssl: no $name" refuses_openssl "$inlet" -starttls smtp "-$name" -cipher DEFAULT@SECLEVEL=0
        check "openssl: no $name at once" refuses_openssl "$implicit_inlet" "-$name" -cipher DEFAULT@SECLEVEL=0
    done
    check "testssl.sh on STARTTLS: nothing HIGH or CRITICAL" rated_well "$inlet" --starttls smtp
    check "testssl.sh on implicit TLS: nothing HIGH or CRITICAL" rated_well "$implicit_inlet"
    stop_postern "TLS"
}

openssl_client() { # openssl_client PORT OPTION...
    printf 'EHLO client.example.org\r\nQUIT\r\n' |
        limit openssl s_client -connect "localhost:$1" -CAfile "$folder/tls/ca.pem" -verify_return_error \
            -verify_hostname localhost -ign_eof "${@:2}" 2>&1
}

greeted_by_openssl() {
    openssl_client "$@" >"$folder/openssl" || true
    grep --quiet '^221 2\.0\.0' "$folder/openssl" || { cat "$folder/openssl"; return 1; }
}

refuses_openssl() { # the server says so by an alert: it is no refusal of openssl itself
    ! openssl_client "$@" >"$folder/openssl" || { echo "a session came about"; return 1; }
    grep --quiet --extended-regexp 'alert (protocol version|handshake failure)' "$folder/openssl" ||
        { cat "$folder/openssl"; return 1; }
}

rated_well() { # rated_well PORT OPTION...: what testssl.sh says of it
    local found=$folder/testssl-$1.json old
    timeout --foreground --kill-after=5 400 testssl --quiet --color 0 --warnings off --nodns min --ip one \
        --add-ca "$folder/tls/ca.pem" --jsonfile "$found" "${@:2}" "localhost:$1" >"$folder/testssl.out" 2>&1 || true
    # It was done, and it did see the server: the last test and the first are there.
    grep --quiet '"id" *: "clientsimulation-' "$found" || { tail --lines=20 "$folder/testssl.out"; return 1; }
    for old in SSLv2 SSLv3 TLS1 TLS1_1; do
        rated "$found" "$old" 'not offered' || return
    done
    rated "$found" TLS1_2 'offered' && rated "$found" TLS1_3 'offered with final' || return
    ! grep --before-context=5 --after-context=3 --extended-regexp '"severity" *: "(HIGH|CRITICAL|FATAL)"' "$found"
}

rated() { # rated FILE ID FINDING
    grep --after-context=5 "\"id\" *: \"$2\"" "$1" | grep --quiet "\"finding\" *: \"$3" ||
        { echo "$2 is not '$3'"; grep --after-context=5 "\"id\" *: \"$2\"" "$1"; return 1; }
}
