# swaks as client, a real Postfix as next hop: dialogues that smtp-source does not speak, replies
# of the next hop that must come through, and who the next hop believes the client is.
# shellcheck shell=bash

swaks_to_postern() { # options of swaks; its dialogue goes to $folder/dialogue
    limit swaks --server 127.0.0.1 --port "$inlet" --from sender@example.org --to inbox@example.net \
        --helo client.example.org "$@" >"$folder/dialogue" 2>&1
}

spoken() { # spoken CODE PATTERN OPTION...: swaks ends with CODE and its dialogue has the PATTERN
    local want=$1 pattern=$2 code=0
    swaks_to_postern "${@:3}" || code=$?
    if [[ $code != "$want" ]] || ! grep --quiet --extended-regexp "$pattern" "$folder/dialogue"; then
        echo "swaks ended with $code; $want and $pattern were expected in:"
        cat "$folder/dialogue"
        return 1
    fi
}

by_swaks() { # by_swaks OPTION... FILE
    spoken 0 '^<[-~]  250 .*queued as' "${@:1:$#-1}" --data "@${!#}" || return
    echo >>"${!#}" # swaks puts an empty line behind it
}

known_as() { # known_as CLIENT OPTION...: the client that Postfix logs beside us
    spoken 0 '^<-  250 2\.0\.0 Ok: .*queued as' "${@:2}" || return
    local id
    id=$(sed --quiet 's/.*Ok: .*queued as \([0-9A-Za-z]*\).*/\1/p' "$folder/dialogue")
    await "client $1 of $id in Postfix's log" grep --quiet --fixed-strings "$id: client=$1" "$maillog" ||
        { grep "$id: client=" "$maillog"; return 1; }
}

names_client() { # whether our Received field in $message says who the client was
    grep --quiet --null-data --perl-regexp \
        '\nReceived: from client\.example\.org \(\[127\.0\.0\.1\]\)\n\tby postern\.example ' "$message" ||
        { head --lines=12 "$message"; return 1; }
}

with_swaks() { # with_swaks FRAMING: the proxy is running
    local us='unknown[127.0.0.1], orig_client=' queued='^<-  250 2\.0\.0 Ok: .*queued as'
    check "swaks over $1: a message" relayed plain by_swaks
    check "swaks over $1: pipelining" relayed streamed by_swaks --pipeline
    check "swaks over $1: HELO instead of EHLO" relayed eight-bit by_swaks --protocol SMTP
    check "swaks over $1: our Received field names it" names_client
    check "swaks over $1: null reverse-path" spoken 0 "$queued" --from '<>'
    check "swaks over $1: two recipients" spoken 0 "$queued" --to inbox@example.net,second@example.net --pipeline
    check "swaks over $1: Postfix refuses one recipient of two" \
        spoken 0 '^<\*\* 550 5\.1\.1 .*nobody@example\.net' --to inbox@example.net,nobody@example.net --pipeline
    check "swaks over $1: Postfix refuses the only recipient" spoken 24 '^<\*\* 550 5\.1\.1' --to nobody@example.net
    check "swaks over $1: no route" spoken 24 '^<\*\* 550 5\.1\.2' --to inbox@example.com
    check "swaks over $1: Postfix refuses the content" \
        spoken 26 '^<\*\* 550 5\.7\.1 not wanted here' --header 'Subject: unwanted'
    check "swaks over $1: the next message after it" relayed plain by_swaks
    check "swaks over $1: larger than SIZE" spoken 26 '^<\*\* 552 5\.3\.4' --attach @"$folder/huge"
    check "swaks over $1: Postfix knows the client's address" \
        known_as "${us}unknown[127.0.0.2]" --local-interface 127.0.0.2
    check "swaks over $1: XCLIENT's client" known_as "${us}far.example.org[192.0.2.7]" \
        --xclient 'NAME=far.example.org ADDR=192.0.2.7 PORT=4711'
    check "swaks over $1: PROXY v1's client" known_as "${us}unknown[192.0.2.8]" --port "$proxy_inlet" \
        --proxy-version 1 --proxy-family TCP4 --proxy-source 192.0.2.8 --proxy-source-port 4712 \
        --proxy-dest 192.0.2.1 --proxy-dest-port 25
    check "swaks over $1: PROXY v2's client" known_as "${us}unknown[2001:db8::9]" --port "$proxy_inlet" \
        --proxy-version 2 --proxy-family AF_INET6 --proxy-source 2001:db8::9 --proxy-source-port 4713 \
        --proxy-dest 2001:db8::1 --proxy-dest-port 25 --proxy-protocol STREAM
}
