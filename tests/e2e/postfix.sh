# A private Postfix as next hop, in the run's folder: it takes mail over BDAT on one port and over
# DATA on another, and puts it into a Maildir, so that content can be compared byte by byte.
# /etc/postfix is neither read nor written, and no system queue or log is touched.
# shellcheck shell=bash

start_postfix() { # sets $bdat_port, $data_port, $tls_port, where it insists on TLS, and $auth_port, there on a user too
    local etc=$folder/postfix/etc programs
    programs=$(postconf -d -h daemon_directory)
    take_port && bdat_port=$port
    take_port && data_port=$port
    take_port && tls_port=$port
    take_port && auth_port=$port
    make_certificates
    mailbox=$folder/postfix/mail/inbox maillog=$folder/postfix/log
    mkdir --parents "$etc" "$folder"/postfix/{queue,data,mail}
    chown postfix "$folder/postfix/data"
    chown nobody "$folder/postfix/mail"
    write_main_cf >"$etc/main.cf"
    write_master_cf >"$etc/master.cf"
    printf '/^Subject: unwanted/ REJECT not wanted here\n' >"$etc/header_checks"
    postfix -c "$etc" check || exit 1
    launch "$folder/postfix/out" "$programs/master" -d -c "$etc"
    await "Postfix" answers "$bdat_port" && await "Postfix" answers "$data_port" || exit 1
}

write_main_cf() {
    cat <<MAIN
compatibility_level = 3.6
queue_directory = $folder/postfix/queue
data_directory = $folder/postfix/data
maillog_file = $maillog
maillog_file_prefixes = $folder/
myhostname = mx.example.net
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = all
alias_maps =
message_size_limit = 10485760
enable_original_recipient = no
local_header_rewrite_clients =
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_authorized_xforward_hosts = 127.0.0.1
header_checks = regexp:$folder/postfix/etc/header_checks
virtual_mailbox_domains = example.net
virtual_mailbox_maps = inline:{ inbox@example.net=inbox/, second@example.net=second/, postmaster@example.net=inbox/ }
virtual_mailbox_base = $folder/postfix/mail
virtual_uid_maps = static:$(id --user nobody)
virtual_gid_maps = static:$(id --group nobody)
MAIN
}

write_master_cf() { # smtpd is verbose: its log shows which commands it was given
    cat <<MASTER
127.0.0.1:$bdat_port inet n - n - 100 smtpd -v
127.0.0.1:$data_port inet n - n - 100 smtpd -v
    -o smtpd_discard_ehlo_keywords=chunking
127.0.0.1:$tls_port inet n - n - 100 smtpd -v
    -o smtpd_tls_security_level=encrypt
    -o smtpd_tls_chain_files=$folder/tls/both.pem
127.0.0.1:$auth_port inet n - n - 100 smtpd -v
    -o smtpd_tls_security_level=encrypt
    -o smtpd_tls_chain_files=$folder/tls/both.pem
    -o smtpd_sasl_auth_enable=yes
    -o smtpd_sasl_type=dovecot
    -o smtpd_sasl_path=$folder/dovecot/client
    -o smtpd_sasl_security_options=noanonymous
    -o smtpd_client_restrictions=permit_sasl_authenticated,reject
tlsmgr    unix - - n - 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
rewrite   unix - - n - - trivial-rewrite
proxymap  unix - - n - - proxymap
anvil     unix - - n - 1 anvil
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
pickup    unix n - n 60 1 pickup
virtual   unix - n n - - virtual
error     unix - - n - - error
retry     unix - - n - - error
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
MASTER
}

content() { # content FILE: what was received, after the trace fields that are due in front of it
    awk '
        done { print; next }
        /^[ \t]/ { next } # a field goes on
        received == 2 { done = 1; print; next }
        { fields = fields " " $1; received += /^Received:/ }
        END { if (fields != " Return-Path: Delivered-To: Received: Received:") {
                  print "trace fields are" fields > "/dev/stderr"; exit 1 } }
    ' "$1"
}

in_mailbox() { # in_mailbox MARK: the one delivered message that has this mark sets $message
    local found
    mapfile -t found < <(grep --files-with-matches --fixed-strings --recursive "$1" "$mailbox/new" 2>/dev/null)
    ((${#found[@]} == 1)) && message=${found[0]}
}

delivers_same() { # delivers_same MARK FILE: the message with this mark is the one in FILE
    await "message $1 in the mailbox" in_mailbox "$1" || return
    content "$message" >"$folder/content" && cmp "$2" "$folder/content"
}

said_to_postfix() { # said_to_postfix PATTERN: whether a smtpd was given such a command
    await "a command $1" grep --quiet --extended-regexp "< [^ ]*\[127\.0\.0\.1\](:[0-9]+)?: $1" "$maillog"
}

# Messages that a relay can spoil. Lines end with LF: the senders make CRLF of it.

headers() {
    printf 'From: sender@example.org\nTo: inbox@example.net\nSubject: %s\nMessage-Id: <%s@example.org>\n' "$1" "$1"
}

line_of() { # line_of LENGTH
    printf "%${1}s\n" "" | tr ' ' x
}

write_messages() { # into the directory $1
    { headers plain && printf '\nA plain text.\n'; } >"$1/plain"
    { headers dots && printf '\n.\n..\n...\n.a\n..b\na.\n\n.\n'; } >"$1/dots"
    { headers dots-first && printf '\n.\n'; } >"$1/dots-first"
    { headers no-body && printf '\n'; } >"$1/no-body"
    { headers eight-bit && printf '\n\303\244\303\266 \377\200\001 \033[1m\n'; } >"$1/eight-bit"
    { headers blanks && printf '\n\n \n\t\ntrailing \nFrom here\n>From there\n\n\n'; } >"$1/blanks"
    { headers long-lines && echo && line_of 998 && line_of 2050 && line_of 30000; } >"$1/long-lines"
    { printf 'X-Folded: a,\n\tb,\n  c\nx-lower:no space\n' && headers folded && printf '\nfolded\n'; } >"$1/folded"
    { printf 'Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\n' && headers received && printf '\nb\n'; } >"$1/received"
    { headers window && echo && seq --format=%076.0f 1700 && echo .; } >"$1/window" # just beyond 128 KiB
    { headers streamed && echo && seq --format=.%076.0f 13000; } >"$1/streamed"
    seq --format=%076.0f 70000 >"$folder/huge" # more than our SIZE
}

# Tests.

test_postfix() {
    start_postfix
    mkdir "$folder/messages"
    write_messages "$folder/messages"
    through_postfix BDAT "$bdat_port"
    through_postfix DATA "$data_port"
}

# Everything once toward a next hop that takes BDAT, and once toward one that does not.
through_postfix() {
    local framing=$1 name
    start_postern "postfix-$framing" "$2" 'identity = "xforward"' 'pool = { warm = 1, max = 8 }'
    for name in "$folder"/messages/*; do
        name=${name##*/}
        check "DATA to $framing, $name: same content" relayed "$name" smtp_source
        check "BDAT to $framing, $name: same content" relayed "$name" postern_source --bdat
    done
    check "DATA to $framing, pipelined: same content" relayed plain postern_source --pipeline
    check "BDAT to $framing, pipelined: same content" relayed streamed postern_source --bdat --pipeline
    check "Postfix was given $framing" said_to_postfix "$framing"
    with_swaks "$framing"
    stop_postern "Postfix over $framing"
}

smtp_source() { # smtp_source FILE
    limit smtp-source -f sender@example.org -t inbox@example.net -F "$1" "127.0.0.1:$inlet" || return
    echo >>"$1" # smtp-source puts an empty line behind it
}

postern_source() { # postern_source OPTION... FILE
    limit "$postern" source -f sender@example.org -t inbox@example.net "${@:1:$#-1}" -F "${!#}" "127.0.0.1:$inlet"
}

relayed() { # relayed NAME SENDER...: the message, marked anew, sent by SENDER, comes as it was sent
    local mark=mark-$RANDOM$RANDOM$RANDOM file=$folder/sent
    { printf 'X-Mark: %s\n' "$mark" && cat "$folder/messages/$1"; } >"$file"
    "${@:2}" "$file" && delivers_same "$mark" "$file"
}
