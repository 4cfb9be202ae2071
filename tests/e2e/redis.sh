# What several machines have in common: Debian's redis-server, alone and as a cluster, under three Posterns. It is
# killed and started again while mail comes; it lies; it refuses.
# shellcheck shell=bash

redis_peer() { # redis_peer COMMAND ARGUMENT...
    limit /usr/bin/python3 tests/e2e/redis.py "$@"
}

start_redis() { # start_redis PORT [OPTION...]: sets $redis; it keeps nothing on disk
    local own=$folder/redis-$1
    mkdir --parents "$own"
    launch "$own/log" redis-server --port "$1" --bind 127.0.0.1 --save '' --dir "$own" --daemonize no "${@:2}"
    redis=$pid
    await "Redis" answers "$1" || { cat "$own/log" >&2; exit 1; }
}

kill_redis() { # kill_redis PID: at once, with all it knows
    kill -KILL -- "-$1"
    finish "$1" 2>/dev/null || true
}

# One machine with a store in common with others.
#
# start_machine NAME BACKEND [LINE...]: the lines go to the end of its configuration. Sets $inlet, $admin, $records,
# $proxy.
start_machine() {
    local name=$1 backend=$2 config=$folder/$1.toml
    shift 2
    take_port && inlet=$port
    take_port && admin=$port
    records=$folder/$name.records
    cat >"$config" <<CONFIG
hostname = "$name.example"
[workers]
cpus = [0]
[[listener]]
name = "inlet"
address = ["127.0.0.1:$inlet"]
[[upstream]]
name = "next-hop"
servers = ["127.0.0.1:$redis_sink"]
pool = { warm = 1, max = 32 }
[[route]]
recipient = ["example.net"]
upstream = "next-hop"
[admin]
address = "127.0.0.1:$admin"
[log]
records = "$records"
[store]
backend = "$backend"
$(printf '%s\n' "$@")
CONFIG
    serve "$name"
    machines+=("$proxy") inlets+=("$inlet") admins+=("$admin")
}

stop_machines() { # stop_machines WHAT: all of them
    local each failed_to=0
    for each in "${machines[@]}"; do finish "$each" || failed_to=1; done
    check "$1: SIGTERM ends all machines with 0" test "$failed_to" == 0
    machines=() inlets=() admins=()
}

is_number() { # is_number ADMIN METRIC VALUE
    [[ $(redis_peer metric "$1" "$2") == "$3" ]]
}

between() { # between FROM VALUE TO
    (($1 <= $2 && $2 <= $3)) || { echo "$2 is not within $1 to $3"; return 1; }
}

refuse_nothing() { # refuse_nothing TAKEN LATER OTHERS: of what `load` printed
    (($1 > 100 && $2 == 0 && $3 == 0)) || { echo "$1 taken, $2 turned away, $3 otherwise"; return 1; }
}

# Whoever comes to one machine has come to the other.
shares_greylist() { # shares_greylist WHAT BACKEND [LINE...]
    local what=$1 backend=$2
    shift 2
    start_machine one "$backend" "$@" '[first_contact]' 'greylist = { delay = "2s" }'
    start_machine two "$backend" "$@" '[first_contact]' 'greylist = { delay = "2s" }'
    check "$what: 451 at one machine, 250 at another" redis_peer greylist 2 "${inlets[@]}"
    check "$what: the store is well" is_number "${admins[1]}" store_failing 0
}

# Three machines, flooded by one sender's domain: 1,000 a minute pass, once as many at once.
#
# share_limit WHAT BACKEND: leaves them running
limit_error=125 # an eighth of the burst: half for the machines' blocks, half for their workers'
share_limit() {
    local what=$1 backend=$2 each limit=('machines = 3' '[[limit]]' 'name = "shared"' 'key = "sender.domain"')
    limit+=('count = "messages"' 'rate = "1000/min"')
    for each in one two three; do start_machine "$each" "$backend" "${limit[@]}"; done
    redis_peer load 15 4 "${inlets[@]}" >"$folder/load.out"
    # shellcheck disable=SC2046
    check "$what: 1,000/min for three machines" passes_limit 1000 $(cat "$folder/load.out")
}

passes_limit() { # passes_limit BURST TAKEN LATER OTHERS SECONDS: of what `load` printed
    local want=$(($1 + 1000 * ${5%.*} / 60))
    local least=$((want - limit_error))
    # A bank that lends nothing is not exact, whatever the error.
    between $((least > 0 ? least : 1)) "$2" $((want + limit_error)) || return
    (($3 > 0 && $4 == 0)) || { echo "$3 turned away, $4 otherwise"; return 1; }
}

# The server forgets all and is back: the machines know how much there was.
limit_comes_back() { # limit_comes_back WHAT PORT [OPTION...]: of the server that is $redis
    local what=$1 at=$2 load
    shift 2
    redis_peer load 9 2 "${inlets[@]}" >"$folder/load.out" &
    load=$!
    sleep 2
    kill_redis "$redis"
    sleep 2
    start_redis "$at" "$@"
    wait "$load" || true
    # Alone for some three seconds, each has 17 messages a second, and what is exact to a block.
    # shellcheck disable=SC2046
    check "$what: killed and started again, no message fails" fails_nothing $(cat "$folder/load.out")
    redis_peer load 6 4 "${inlets[@]}" >"$folder/load.out"
    # shellcheck disable=SC2046
    check "$what: within 5 s the limit is back" passes_limit 0 $(cat "$folder/load.out")
}

fails_nothing() { # fails_nothing TAKEN LATER OTHERS
    (($1 > 0 && $1 < 600 && $2 > 0 && $3 == 0)) || { echo "$1 taken, $2 turned away, $3 otherwise"; return 1; }
}

# Mail comes while the server is killed and started again: not one message hears of it.
outlives() { # outlives WHAT BACKEND PORT [OPTION...]: of the server there that is $redis
    local what=$1 backend=$2 at=$3 load begun
    shift 3
    start_machine one "$backend" '[first_contact]' 'greylist = { delay = "1s", all = false }'
    start_machine two "$backend" '[first_contact]' 'greylist = { delay = "1s", all = false }'
    redis_peer load 12 4 "${inlets[@]}" >"$folder/load.out" &
    load=$!
    sleep 3
    kill_redis "$redis"
    check "$what: its loss is seen" await "the loss of the store" is_number "${admins[0]}" store_failing 1
    sleep 3
    start_redis "$at" "$@"
    begun=$SECONDS
    check "$what: its return is seen" await "the store" is_number "${admins[0]}" store_failing 0
    check "$what: it is used again within 5 s" between 0 "$((SECONDS - begun))" 5
    wait "$load" || true
    # shellcheck disable=SC2046
    check "$what: killed and started again under load, no message hears of it" \
        refuse_nothing $(cat "$folder/load.out")
    stop_machines "$what, killed and started again"
}

test_redis() {
    local sink machines=() inlets=() admins=() at each
    take_port && redis_sink=$port
    launch "$folder/redis-sink.out" smtp-sink -u nobody -c -m 16000 "127.0.0.1:$redis_sink" 4000
    sink=$pid
    await "smtp-sink" answers "$redis_sink" || exit 1

    take_port && at=$port
    start_redis "$at"
    check "the scripts do what the program does itself" \
        redis_peer scripts "$at" src/service/store/learn.lua src/service/lender/claim.lua
    shares_greylist "Redis" "redis://127.0.0.1:$at/3"
    check "Redis: the database was chosen" redis_holds "$at" 3
    stop_machines "Redis"
    outlives "Redis" "redis://127.0.0.1:$at" "$at"
    share_limit "Redis" "redis://127.0.0.1:$at"
    limit_comes_back "Redis" "$at"
    stop_machines "a limit on Redis"
    kill_redis "$redis"

    start_redis "$at" --requirepass pencil --user ann on '>apple' '~postern:*' +@connection +mget +get +set +del \
        +pexpire +pexpireat +eval +evalsha +time
    printf 'apple\n' >"$folder/apple"
    printf 'pencil\n' >"$folder/pencil"
    shares_greylist "a user of little rights" "redis://ann@127.0.0.1:$at" "password_file = \"apple\""
    stop_machines "a user of little rights"
    start_machine wrong "redis://ann@127.0.0.1:$at" 'password_file = "pencil"' \
        '[first_contact]' 'greylist = { delay = "2s" }'
    holds_up_nobody "a wrong password"
    kill_redis "$redis"

    for each in garbage never flood; do
        launch "$folder/lies.log" /usr/bin/python3 tests/e2e/redis.py lies "$at" "$each"
        local liar=$pid
        await "the liar" answers "$at" || exit 1
        start_machine "lied-to-$each" "redis://127.0.0.1:$at" '[first_contact]' 'greylist = { delay = "2s" }'
        holds_up_nobody "a server that answers $each"
        finish "$liar" || true
    done
    test_redis_cluster
    finish "$sink" || true
}

redis_holds() { # redis_holds PORT DATABASE: whether something of ours is there
    [[ $(redis-cli -p "$1" -n "$2" --scan --pattern 'postern:contacts:*' | wc --lines) -gt 0 ]]
}

holds_up_nobody() { # holds_up_nobody WHAT: the last machine takes mail as if nothing was remembered
    # shellcheck disable=SC2046
    check "$1: holds up nobody" refuse_nothing $(redis_peer load 4 4 "$inlet")
    check "$1: it is said" is_number "$admin" store_failing 1
    check "$1: nothing grew" between 0 "$(redis_peer metric "$admin" resident_memory_bytes)" 200000000
    stop_machines "$1"
}

test_redis_cluster() {
    local nodes=() masters=() each names=
    for each in 1 2 3; do
        take_port && nodes+=("$port")
        # The bus of a node listens 10,000 above it.
        start_redis "$port" --cluster-enabled yes --cluster-node-timeout 2000 --cluster-port "$((port + 10000))"
        masters+=("$redis")
        names+="${names:+,}127.0.0.1:$port"
    done
    check "a cluster of three masters" limit redis-cli --cluster create ${names//,/ } --cluster-yes
    await "the cluster" redis_cluster_is_well "${nodes[0]}" || exit 1
    shares_greylist "a cluster" "redis+cluster://127.0.0.1:${nodes[0]},127.0.0.1:${nodes[1]}"
    check "a cluster: each master has something" redis_cluster_shares
    redis=${masters[2]}
    stop_machines "a cluster"
    outlives "one master of a cluster" "redis+cluster://127.0.0.1:${nodes[0]}" "${nodes[2]}" --cluster-enabled yes \
        --cluster-node-timeout 2000 --cluster-port "$((nodes[2] + 10000))"
    share_limit "a cluster" "redis+cluster://127.0.0.1:${nodes[1]}"
    stop_machines "a limit on a cluster"
    kill_redis "$redis"
    kill_redis "${masters[0]}"
    kill_redis "${masters[1]}"
}

redis_cluster_is_well() {
    redis-cli -p "$1" cluster info | grep --quiet 'cluster_state:ok'
}

redis_cluster_shares() { # a hundred contacts, and none of the three is empty; $nodes
    local each
    redis_peer load 3 2 "${inlets[@]}" >/dev/null
    for each in "${nodes[@]}"; do redis_holds "$each" 0 || return; done
}
