# What the files of tests/e2e share: processes that end with the run, ports, waiting, and one line
# for each result. Sourced by tests/e2e/run, which sets $folder and $postern.
# shellcheck shell=bash

passed=0 failed=0
pids=() # what runs and must end

check() { # check WHAT COMMAND...: one result; what the command said is shown if it fails
    local what=$1 said=$folder/said
    shift
    if "$@" >"$said" 2>&1; then
        echo "ok      $what"
        passed=$((passed + 1))
    else
        echo "FAILED  $what"
        sed 's/^/        | /' "$said" | tail --lines=15
        failed=$((failed + 1))
    fi
}

limit() { # limit COMMAND...: a minute is all that any client gets
    timeout --foreground --kill-after=5 60 "$@"
}

launch() { # launch LOG COMMAND...: starts a process in a group of its own; its id is $pid
    local log=$1
    shift
    : >"$log"
    setsid "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    pids+=("$pid")
}

finish() { # finish PID: asks it to end, waits for its group and gives its exit code; insists after 10 s
    local end=$((SECONDS + 10)) kept=() each
    kill -TERM "$1" 2>/dev/null || true
    while kill -0 -- "-$1" 2>/dev/null && ((SECONDS < end)); do sleep 0.05; done
    if kill -KILL -- "-$1" 2>/dev/null; then echo "process $1 had to be killed" >&2; fi
    for each in "${pids[@]}"; do [[ $each == "$1" ]] || kept+=("$each"); done
    pids=("${kept[@]}")
    wait "$1"
}

finish_all() {
    local each
    for each in "${pids[@]}"; do finish "$each" || true; done
}

await() { # await WHAT COMMAND...: until the command succeeds, for fifteen seconds at most
    local what=$1 end=$((SECONDS + 15))
    shift
    until "$@"; do
        ((SECONDS < end)) || { echo "e2e: $what did not come" >&2; return 1; }
        sleep 0.05
    done
}

answers() { # answers PORT: whether somebody listens
    { : <>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null
}

ports_taken=" "
take_port() { # sets $port to one that nobody listens on and that was not taken before
    while :; do
        port=$((20000 + RANDOM % 12000))
        [[ $ports_taken != *" $port "* ]] && ! answers "$port" && break
    done
    ports_taken+="$port "
}

# Postern in front of one next hop.
#
# start_postern NAME NEXT_HOP_PORT [LINE...]: the lines go into its [[upstream]]. Sets $inlet (SMTP),
# $proxy_inlet (SMTP after a PROXY header), $records and $proxy (its process id).
start_postern() {
    local name=$1 next_hop=$2 config=$folder/$1.toml
    shift 2
    take_port && inlet=$port
    take_port && proxy_inlet=$port
    records=$folder/$name.records
    cat >"$config" <<CONFIG
hostname = "postern.example"
[workers]
message = "4MiB"
[[listener]]
name = "inlet"
address = ["127.0.0.1:$inlet"]
xclient = ["127.0.0.1"]
[[listener]]
name = "behind-a-balancer"
address = ["127.0.0.1:$proxy_inlet"]
proxy_protocol = ["127.0.0.1"]
[[upstream]]
name = "next-hop"
servers = ["127.0.0.1:$next_hop"]
$(printf '%s\n' "$@")
[[route]]
recipient = ["example.net"]
upstream = "next-hop"
[admin]
address = "off"
[log]
records = "$records"
CONFIG
    serve "$name"
}

serve() { # serve NAME: postern with $config
    launch "$folder/$1.log" "$postern" run --config "$config"
    proxy=$pid
    await "'serving' of $1" grep --quiet serving "$folder/$1.log" || { cat "$folder/$1.log" >&2; exit 1; }
}

delivered() { # delivered COUNT: whether so many records say so, and none says anything else
    [[ $(grep --count '"disposition":"delivered"' "$records") == "$1" && $(wc --lines <"$records") == "$1" ]]
}

stop_postern() { # stop_postern WHAT: and looks how it ended
    check "$1: SIGTERM ends it with 0" finish "$proxy"
}
