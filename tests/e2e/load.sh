# Load by Postfix's smtp-source, through Postern, to Postfix's smtp-sink: every message arrives and
# none meets an error. smtp-source gives up, with a code, at the first reply that it did not expect.
# shellcheck shell=bash

sink_count() { # how many messages the sink has taken: the last state of its counter
    tr '\r' '\n' <"$folder/sink.out" | sed --quiet 's/.*mesg=\([0-9]*\).*/\1/p' | tail --lines=1
}

arrived() { # arrived COUNT
    [[ $(sink_count) == "$1" ]]
}

sends() { # sends COUNT OPTION...: all of COUNT messages, counted at both ends
    local count=$1
    shift
    limit smtp-source -f source@example.org -t sink@example.net -m "$count" "$@" "127.0.0.1:$inlet" || return
    await "message $count at the sink (it has $(sink_count))" arrived "$count" || return
    await "record $count" delivered "$count"
}

under_load() { # under_load WHAT COUNT OPTION...: with a sink and a proxy of its own
    local what=$1 sink
    shift
    take_port && sink=$port
    launch "$folder/sink.out" smtp-sink -u nobody -c -m 16000 "127.0.0.1:$sink" 4000
    local sink_pid=$pid
    await "smtp-sink" answers "$sink" || exit 1
    start_postern load "$sink" 'pool = { warm = 4, max = 64 }'
    check "smtp-source, $what" sends "$@"
    finish "$proxy" || true
    finish "$sink_pid" || true
    rm --force "$records"
}

test_load() {
    under_load "5,000 of 4 KiB, a connection each, 50 parallel" 5000 -s 50 -l 4096
    under_load "5,000 of 4 KiB over kept sessions, 50 parallel" 5000 -s 50 -l 4096 -d
    under_load "1,000 of 64 KiB, 20 parallel" 1000 -s 20 -l 65536
    under_load "100 of 1 MiB, 10 parallel" 100 -s 10 -l 1048576
    under_load "500 of 4 KiB for 20 recipients each" 500 -s 20 -l 4096 -r 20
}
