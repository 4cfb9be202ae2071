# AUTH between real peers: Dovecot knows the users, swaks says who it is, and a Postfix that takes mail of
# users only is the next hop, which asks the same Dovecot.
# shellcheck shell=bash

start_dovecot() { # in the run's folder; its socket for clients is $folder/dovecot/client
    local etc=$folder/dovecot
    mkdir --parents "$etc/run"
    cat >"$etc/dovecot.conf" <<CONFIG
base_dir = $etc/run
log_path = $etc/log
protocols =
ssl = no
auth_mechanisms = plain login scram-sha-256
auth_username_format = %Lu
auth_failure_delay = 0
passdb {
  driver = passwd-file
  args = username_format=%u $etc/users
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=$etc
}
service auth {
  unix_listener $etc/client {
    mode = 0666
  }
}
CONFIG
    printf '%s:{PLAIN}%s\n' sender@example.org pencil postern 'of postern' >"$etc/users"
    chmod 644 "$etc/users"
    launch "$etc/out" dovecot -F -c "$etc/dovecot.conf"
    dovecot=$pid
    await "Dovecot" test -S "$etc/client" || { cat "$etc/out" "$etc/log" >&2; exit 1; }
}

start_auth_postern() { # sets $inlet, whose users Dovecot knows, and $trying_inlet, whose the next hop knows
    local config=$folder/auth.toml own="certificate = \"tls/mx.pem\", key = \"tls/mx.key\""
    take_port && inlet=$port
    take_port && trying_inlet=$port
    records=$folder/auth.records
    printf 'of postern\n' >"$folder/auth.password"
    cat >"$config" <<CONFIG
hostname = "postern.example"
[[listener]]
name = "dovecot"
address = ["127.0.0.1:$inlet"]
tls = { mode = "require", $own }
auth = { dovecot = "unix:$folder/dovecot/client" }
[[listener]]
name = "trying"
address = ["127.0.0.1:$trying_inlet"]
tls = { mode = "require", $own }
auth = { upstream = "next-hop" }
[[upstream]]
name = "next-hop"
servers = ["127.0.0.1:$auth_port"]
tls = { mode = "verify", ca = "tls/ca.pem", name = "localhost" }
auth = { user = "postern", password_file = "auth.password" }
pool = { warm = 1, max = 8 }
[[route]]
recipient = ["example.net"]
upstream = "next-hop"
[admin]
address = "off"
[log]
records = "$records"
CONFIG
    serve auth
}

test_dovecot() { # Postfix is running
    start_dovecot
    start_auth_postern
    local way as=(--tls --auth-user Sender@example.org)
    for way in PLAIN LOGIN; do
        check "AUTH $way, Dovecot knows the user: same content" \
            relayed plain by_swaks "${as[@]}" --auth "$way" --auth-password pencil
        check "AUTH $way, a wrong password" \
            spoken 28 '^<~\* 535 5\.7\.8' "${as[@]}" --auth "$way" --auth-password pen
        check "AUTH $way, by trying on Postfix: same content" \
            relayed plain by_swaks --port "$trying_inlet" "${as[@]}" --auth "$way" --auth-password pencil
        check "AUTH $way, a wrong password by trying" \
            spoken 28 '^<~\* 535 5\.7\.8' --port "$trying_inlet" "${as[@]}" --auth "$way" --auth-password pen
    done
    check "Dovecot's name for the user is in the record" grep --quiet '"user":"sender@example.org"' "$records"
    check "no AUTH, no mail" spoken 23 '^<~\* 530 5\.7\.0' --tls
    check "Postfix knows us by SCRAM" grep --quiet 'sasl_method=SCRAM-SHA-256, sasl_username=postern' "$maillog"
    check "Postfix was given AUTH=<>" said_to_postfix 'MAIL FROM:<sender@example\.org> .*AUTH=<>'
    kill -KILL -- "-$dovecot" # asked to end it would wait for us, who keep a connection
    finish "$dovecot" 2>/dev/null || true
    check "Dovecot is gone: 454" spoken 28 '^<~\* 454 4\.7\.0' "${as[@]}" --auth PLAIN --auth-password pencil
    start_dovecot
    check "Dovecot is there again: same content" \
        relayed plain by_swaks "${as[@]}" --auth PLAIN --auth-password pencil
    stop_postern "AUTH"
}
