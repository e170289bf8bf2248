;; Holds an answer back until its first event with content, so that another server can be tried before.
;;
;; Proxy-Wasm ABI 0.2.1 (https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1). Of a stream of
;; server-sent events only what comes before the first content is looked at, at most 16 KiB. A JSON object is
;; held to its end, or 16 KiB: its client can read nothing of it before. Any other answer goes on with its first
;; bytes. An answer of status 200 that begins with an error gets the status that the error stands for; a JSON
;; object that is not closed at its end gets 502, and so do an answer of JSON to a POST that is empty, and a
;; stream that ends before any content. Texts in quotes cannot be forged by prompt or answer: inside a JSON
;; string each quote is escaped.
;; `python hack/first_event_module.py` makes first_event.wasm of this.
(module
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $set_header (param i32 i32 i32 i32 i32) (result i32)))

  (import "env" "proxy_get_header_map_value" (func $get_header (param i32 i32 i32 i32 i32) (result i32)))

  ;; 0: where the host put bytes, 4: how many. 0x100: lists of texts, each ends with 0, a list with an empty one.
  ;; 0x1000: the bytes. 0x20000: 65536 ids of streams that have been let go, by their lowest 16 bits. 0x60000: by
  ;; the same bits 1 where the stream is an answer of JSON, 5 where it is one to a POST, 2 of events to a POST.
  (memory (export "memory") 7)
  (data (i32.const 0x100) ":status")
  (data (i32.const 0x110) "200\00")
  (data (i32.const 0x540) "event:\00")
  (data (i32.const 0x550) "data:\00")
  (data (i32.const 0x560) "content-type")
  (data (i32.const 0x570) "application/json\00")
  (data (i32.const 0x590) "502")
  (data (i32.const 0x5b0) "text/event-stream\00")
  (data (i32.const 0x5d0) ":method")
  (data (i32.const 0x5e0) "POST\00")
  (data (i32.const 0x5a0) "\22error\22\00")
  (data (i32.const 0x120) "id:\00retry:\00\00")
  ;; events that come before any content
  (data (i32.const 0x140)
    "response.created\00" "response.queued\00" "response.in_progress\00" "response.output_item.added\00"
    "response.content_part.added\00" "message_start\00" "content_block_start\00" "ping\00\00")
  ;; events that are errors
  (data (i32.const 0x200) "error\00" "response.failed\00\00")
  ;; beginnings of an object that is an error
  (data (i32.const 0x240)
    "{\22object\22:\22error\22\00" "{\22object\22: \22error\22\00" "{\22type\22:\22error\22\00"
    "{\22type\22: \22error\22\00" "{\22type\22:\22response.failed\22\00" "{\22type\22: \22response.failed\22\00\00")
  ;; a chunk with one of these and one of those has no content yet
  (data (i32.const 0x300) "\22role\22:\22assistant\22\00" "\22role\22: \22assistant\22\00\00")
  (data (i32.const 0x340)
    "\22content\22:\22\22\00" "\22content\22: \22\22\00" "\22content\22:null\00" "\22content\22: null\00\00")
  ;; statuses by what an error calls itself; any other is a server's own
  (data (i32.const 0x400)
    "400\22invalid_request_error\22\00" "400\22invalid_prompt\22\00" "400\22BadRequestError\22\00"
    "401\22authentication_error\22\00" "403\22permission_error\22\00" "404\22not_found_error\22\00"
    "404\22NotFoundError\22\00" "413\22request_too_large\22\00" "429\22rate_limit_error\22\00"
    "429\22rate_limit_exceeded\22\00" "529\22overloaded_error\22\00\00")
  (data (i32.const 0x520) "500")
  (data (i32.const 0x530) "\22code\22\00")

  ;; Whether the n bytes at p begin with the text at c, which ends with 0.
  (func $starts (param $p i32) (param $n i32) (param $c i32) (result i32)
    (local $want i32)
    (loop $more
      (local.set $want (i32.load8_u (local.get $c)))
      (if (i32.eqz (local.get $want)) (then (return (i32.const 1))))
      (if (i32.eqz (local.get $n)) (then (return (i32.const 0))))
      (if (i32.ne (i32.load8_u (local.get $p)) (local.get $want)) (then (return (i32.const 0))))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (local.set $c (i32.add (local.get $c) (i32.const 1)))
      (br $more))
    (unreachable))

  (func $length (param $c i32) (result i32)
    (local $n i32)
    (loop $more
      (if (i32.load8_u (i32.add (local.get $c) (local.get $n)))
        (then (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $more))))
    (local.get $n))

  (func $contains (param $p i32) (param $n i32) (param $c i32) (result i32)
    (loop $more
      (if (i32.eqz (local.get $n)) (then (return (i32.const 0))))
      (if (call $starts (local.get $p) (local.get $n) (local.get $c)) (then (return (i32.const 1))))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $more))
    (unreachable))

  ;; The text of a list that n bytes at p begin with (how 0), are (1), or contain (2), or 0. With skip, its first
  ;; bytes are not part of the text.
  (func $find (param $list i32) (param $how i32) (param $skip i32) (param $p i32) (param $n i32) (result i32)
    (local $size i32) (local $text i32) (local $found i32)
    (loop $more
      (local.set $size (call $length (local.get $list)))
      (if (i32.eqz (local.get $size)) (then (return (i32.const 0))))
      (local.set $text (i32.add (local.get $list) (local.get $skip)))
      (if (i32.eq (local.get $how) (i32.const 2))
        (then (local.set $found (call $contains (local.get $p) (local.get $n) (local.get $text))))
        (else (local.set $found (call $starts (local.get $p) (local.get $n) (local.get $text)))))
      (if (i32.and (i32.eq (local.get $how) (i32.const 1)) (i32.ne (local.get $n) (local.get $size)))
        (then (local.set $found (i32.const 0))))
      (if (local.get $found) (then (return (local.get $list))))
      (local.set $list (i32.add (local.get $list) (i32.add (local.get $size) (i32.const 1))))
      (br $more))
    (unreachable))

  ;; Where the value of a line begins: behind its name and one space.
  (func $value (param $p i32) (param $name i32) (result i32)
    (local.set $p (i32.add (local.get $p) (local.get $name)))
    (i32.add (local.get $p) (i32.eq (i32.load8_u (local.get $p)) (i32.const 0x20))))

  ;; The first of the n bytes at p that is no white space, as an address; p + n where there is none.
  (func $past_blanks (param $p i32) (param $n i32) (result i32)
    (local $end i32) (local $byte i32)
    (local.set $end (i32.add (local.get $p) (local.get $n)))
    (loop $more
      (if (i32.ge_u (local.get $p) (local.get $end)) (then (return (local.get $end))))
      (local.set $byte (i32.load8_u (local.get $p)))
      (if (i32.or
          (i32.eq (local.get $byte) (i32.const 0x20))
          (i32.lt_u (i32.sub (local.get $byte) (i32.const 9)) (i32.const 5))) ;; tab to carriage return
        (then (local.set $p (i32.add (local.get $p) (i32.const 1))) (br $more))))
    (local.get $p))

  ;; Whether the n bytes at p, a brace first, are an object whose first member is `error`, however it is spaced:
  ;; 1 where that is an object, 2 where it is a text that is not empty.
  (func $error_first (param $p i32) (param $n i32) (result i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $p) (local.get $n)))
    (local.set $p (i32.add (local.get $p) (i32.const 1)))
    (local.set $p (call $past_blanks (local.get $p) (i32.sub (local.get $end) (local.get $p))))
    (if (i32.eqz (call $starts (local.get $p) (i32.sub (local.get $end) (local.get $p)) (i32.const 0x5a0)))
      (then (return (i32.const 0))))
    (local.set $p (i32.add (local.get $p) (i32.const 7)))
    (local.set $p (call $past_blanks (local.get $p) (i32.sub (local.get $end) (local.get $p))))
    (local.set $p (i32.add (local.get $p) (i32.const 1))) ;; the colon
    (if (i32.ge_u (local.get $p) (local.get $end)) (then (return (i32.const 0))))
    (local.set $p (call $past_blanks (local.get $p) (i32.sub (local.get $end) (local.get $p))))
    (if (i32.ge_u (i32.add (local.get $p) (i32.const 1)) (local.get $end)) (then (return (i32.const 0))))
    (if (i32.eq (i32.load8_u (local.get $p)) (i32.const 0x7b)) (then (return (i32.const 1))))
    (i32.shl
      (i32.and
        (i32.eq (i32.load8_u (local.get $p)) (i32.const 0x22))
        (i32.ne (i32.load8_u (i32.add (local.get $p) (i32.const 1))) (i32.const 0x22)))
      (i32.const 1)))

  ;; Whether the last of the n bytes at p that is no white space closes an object.
  (func $closed (param $p i32) (param $n i32) (result i32)
    (local $byte i32)
    (loop $more
      (if (i32.eqz (local.get $n)) (then (return (i32.const 0))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (local.set $byte (i32.load8_u (i32.add (local.get $p) (local.get $n))))
      (br_if $more
        (i32.or
          (i32.eq (local.get $byte) (i32.const 0x20))
          (i32.lt_u (i32.sub (local.get $byte) (i32.const 9)) (i32.const 5)))))
    (i32.eq (local.get $byte) (i32.const 0x7d)))

  ;; Of the n bytes an answer has begun with: 0 wait for more, 1 it has content, 2 it is an error, 3 its end is
  ;; missing. With json it is an answer of JSON; with last nothing more comes.
  (func $look (param $p i32) (param $n i32) (param $json i32) (param $last i32) (result i32)
    (local $end i32) (local $next i32) (local $size i32) (local $value i32) (local $named i32)
    (if (i32.eq (i32.load8_u (local.get $p)) (i32.const 0x7b)) ;; an object: no events
      (then
        (if (i32.and (local.get $json) (i32.eqz (local.get $last))) (then (return (i32.const 0))))
        (if (i32.or
            (call $error_first (local.get $p) (local.get $n))
            (call $find (i32.const 0x240) (i32.const 0) (i32.const 0) (local.get $p) (local.get $n)))
          (then (return (i32.const 2))))
        (if (i32.eqz (local.get $json)) (then (return (i32.gt_u (local.get $n) (i32.const 10)))))
        (return (select (i32.const 1) (i32.const 3) (call $closed (local.get $p) (local.get $n))))))
    (local.set $end (i32.add (local.get $p) (local.get $n)))
    (loop $lines
      (local.set $next (local.get $p))
      (loop $search
        (if (i32.ge_u (local.get $next) (local.get $end)) (then (return (i32.const 0)))) ;; half a line
        (if (i32.ne (i32.load8_u (local.get $next)) (i32.const 0x0a))
          (then (local.set $next (i32.add (local.get $next) (i32.const 1))) (br $search))))
      (local.set $size (i32.sub (local.get $next) (local.get $p)))
      (if (local.get $size)
        (then
          (if (i32.eq (i32.load8_u (i32.sub (local.get $next) (i32.const 1))) (i32.const 0x0d))
            (then (local.set $size (i32.sub (local.get $size) (i32.const 1)))))))
      (block $skip
        (br_if $skip (i32.eqz (local.get $size)))
        (br_if $skip (i32.eq (i32.load8_u (local.get $p)) (i32.const 0x3a))) ;; a comment
        (br_if $skip (call $find (i32.const 0x120) (i32.const 0) (i32.const 0) (local.get $p) (local.get $size)))
        (if (call $starts (local.get $p) (local.get $size) (i32.const 0x540)) ;; event:
          (then
            (local.set $value (call $value (local.get $p) (i32.const 6)))
            (local.set $size (i32.sub (local.get $size) (i32.sub (local.get $value) (local.get $p))))
            (if (call $find (i32.const 0x200) (i32.const 1) (i32.const 0) (local.get $value) (local.get $size))
              (then (return (i32.const 2))))
            (if (i32.eqz
                (call $find (i32.const 0x140) (i32.const 1) (i32.const 0) (local.get $value) (local.get $size)))
              (then (return (i32.const 1))))
            (local.set $named (i32.const 1))
            (br $skip)))
        (if (i32.eqz (call $starts (local.get $p) (local.get $size) (i32.const 0x550))) ;; data:
          (then (return (i32.const 1))))
        (if (local.get $named) (then (local.set $named (i32.const 0)) (br $skip)))
        (local.set $value (call $value (local.get $p) (i32.const 5)))
        (local.set $size (i32.sub (local.get $size) (i32.sub (local.get $value) (local.get $p))))
        (if (i32.or
            (i32.and
              (i32.eq (i32.load8_u (local.get $value)) (i32.const 0x7b))
              (i32.eq (call $error_first (local.get $value) (local.get $size)) (i32.const 1)))
            (call $find (i32.const 0x240) (i32.const 0) (i32.const 0) (local.get $value) (local.get $size)))
          (then (return (i32.const 2))))
        (br_if $skip
          (i32.and
            (i32.ne (i32.const 0)
              (call $find (i32.const 0x300) (i32.const 2) (i32.const 0) (local.get $value) (local.get $size)))
            (i32.ne (i32.const 0)
              (call $find (i32.const 0x340) (i32.const 2) (i32.const 0) (local.get $value) (local.get $size)))))
        (return (i32.const 1)))
      (local.set $p (i32.add (local.get $next) (i32.const 1)))
      (br $lines))
    (unreachable))

  (func $digit (param $p i32) (result i32)
    (i32.lt_u (i32.sub (i32.load8_u (local.get $p)) (i32.const 0x30)) (i32.const 10)))

  ;; Where in the n bytes at p a status stands that an error has as its code: 400 to 599, or 0.
  (func $code (param $p i32) (param $n i32) (result i32)
    (local $end i32) (local $at i32)
    (local.set $end (i32.add (local.get $p) (local.get $n)))
    (loop $more
      (if (i32.lt_u (i32.sub (local.get $end) (local.get $p)) (i32.const 11)) ;; none with what may be around it
        (then (return (i32.const 0))))
      (if (call $starts (local.get $p) (i32.const 11) (i32.const 0x530))
        (then
          (local.set $at (i32.add (local.get $p) (i32.const 6)))
          (local.set $at (call $past_blanks (local.get $at) (i32.sub (local.get $end) (local.get $at))))
          (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x3a)) ;; the colon
            (then
              (local.set $at (i32.add (local.get $at) (i32.const 1)))
              (local.set $at (call $past_blanks (local.get $at) (i32.sub (local.get $end) (local.get $at))))
              (local.set $at
                (i32.add (local.get $at) (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x22)))) ;; a quote
              (if (i32.gt_u (i32.add (local.get $at) (i32.const 4)) (local.get $end))
                (then (return (i32.const 0))))
              (return
                (select (local.get $at) (i32.const 0)
                  (i32.and
                    (i32.eq (i32.or (i32.load8_u (local.get $at)) (i32.const 1)) (i32.const 0x35)) ;; 4 or 5
                    (i32.and
                      (call $digit (i32.add (local.get $at) (i32.const 1)))
                      (i32.and
                        (call $digit (i32.add (local.get $at) (i32.const 2)))
                        (i32.eqz (call $digit (i32.add (local.get $at) (i32.const 3)))))))))))))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br $more))
    (unreachable))

  (func $slot (param $stream i32) (result i32)
    (i32.add (i32.const 0x20000) (i32.shl (i32.and (local.get $stream) (i32.const 0xffff)) (i32.const 2))))

  (func $kind (param $stream i32) (result i32)
    (i32.add (i32.const 0x60000) (i32.and (local.get $stream) (i32.const 0xffff))))

  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0x1000))
  (func (export "proxy_on_context_create") (param i32 i32))

  ;; Until the answer comes its kind is 2 where the request is a POST: what is only read may have no event.
  (func (export "proxy_on_request_headers") (param $stream i32) (param i32) (param i32) (result i32)
    (i32.store8 (call $kind (local.get $stream)) (i32.const 0))
    (if (i32.eqz ;; 0: the request's headers
        (call $get_header (i32.const 0) (i32.const 0x5d0) (i32.const 7) (i32.const 0) (i32.const 4)))
      (then
        (i32.store8 (call $kind (local.get $stream))
          (i32.shl
            (call $starts (i32.const 0x1000) (i32.load (i32.const 4)) (i32.const 0x5e0)) (i32.const 1)))))
    (i32.const 0))

  ;; stream, number of headers, whether the answer ends with them: 1 pauses, 0 goes on.
  (func (export "proxy_on_response_headers") (param $stream i32) (param i32) (param $last i32) (result i32)
    (local $posted i32)
    (if (i32.eqz ;; 2: the answer's headers
        (call $get_header (i32.const 2) (i32.const 0x100) (i32.const 7) (i32.const 0) (i32.const 4)))
      (then
        (if (i32.eqz (call $starts (i32.const 0x1000) (i32.load (i32.const 4)) (i32.const 0x110)))
          (then ;; an error has its status: it goes on with its first bytes
            (i32.store (call $slot (local.get $stream)) (local.get $stream))))))
    (local.set $posted (i32.load8_u (call $kind (local.get $stream))))
    (i32.store8 (call $kind (local.get $stream)) (i32.const 0))
    (if (i32.eqz
        (call $get_header (i32.const 2) (i32.const 0x560) (i32.const 12) (i32.const 0) (i32.const 4)))
      (then
        (i32.store8 (call $kind (local.get $stream))
          (i32.or
            (i32.mul
              (call $starts (i32.const 0x1000) (i32.load (i32.const 4)) (i32.const 0x570))
              (i32.or (i32.const 1) (i32.shl (local.get $posted) (i32.const 1))))
            (i32.and
              (local.get $posted)
              (i32.shl
                (call $starts (i32.const 0x1000) (i32.load (i32.const 4)) (i32.const 0x5b0)) (i32.const 1)))))))
    (if (i32.and ;; a stream of no event, or no object
        (i32.and (local.get $last) (i32.gt_u (i32.load8_u (call $kind (local.get $stream))) (i32.const 1)))
        (i32.ne (i32.load (call $slot (local.get $stream))) (local.get $stream)))
      (then
        (drop
          (call $set_header
            (i32.const 2) (i32.const 0x100) (i32.const 7) (i32.const 0x590) (i32.const 3)))))
    (i32.eqz (local.get $last)))

  (func (export "proxy_on_response_body") (param $stream i32) (param $size i32) (param $last i32) (result i32)
    (local $seen i32) (local $status i32)
    (if (i32.eq (i32.load (call $slot (local.get $stream))) (local.get $stream)) (then (return (i32.const 0))))
    (local.set $seen (i32.const 1))
    (if (i32.and (i32.ne (local.get $size) (i32.const 0)) (i32.lt_u (local.get $size) (i32.const 0x4000)))
      (then ;; 1: the answer's body; 0: it could be had
        (if (i32.eqz
            (call $get_buffer (i32.const 1) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
          (then
            (local.set $seen
              (call $look (i32.const 0x1000) (i32.load (i32.const 4))
                (i32.and (i32.load8_u (call $kind (local.get $stream))) (i32.const 1)) (local.get $last)))))))
    (if (i32.and ;; a stream of events has ended, and nothing in it is content
        (i32.and (local.get $last) (i32.lt_u (local.get $size) (i32.const 0x4000)))
        (i32.eq (i32.load8_u (call $kind (local.get $stream))) (i32.const 2)))
      (then
        (if (i32.or (i32.eqz (local.get $size)) (i32.eqz (local.get $seen)))
          (then (local.set $seen (i32.const 3))))))
    (if (i32.and ;; an answer of JSON has ended, and nothing is in it
        (i32.and (local.get $last) (i32.eqz (local.get $size)))
        (i32.eq (i32.load8_u (call $kind (local.get $stream))) (i32.const 5)))
      (then (local.set $seen (i32.const 3))))
    (if (i32.eq (local.get $seen) (i32.const 3))
      (then
        (drop ;; 2: the answer's headers
          (call $set_header
            (i32.const 2) (i32.const 0x100) (i32.const 7) (i32.const 0x590) (i32.const 3)))))
    (if (i32.eq (local.get $seen) (i32.const 2))
      (then
        (local.set $status (call $code (i32.const 0x1000) (i32.load (i32.const 4))))
        (if (i32.eqz (local.get $status)) (then (local.set $status
          (call $find (i32.const 0x400) (i32.const 2) (i32.const 3) (i32.const 0x1000) (i32.load (i32.const 4))))))
        (if (i32.eqz (local.get $status)) (then (local.set $status (i32.const 0x520))))
        (drop ;; 2: the answer's headers
          (call $set_header
            (i32.const 2) (i32.const 0x100) (i32.const 7) (local.get $status) (i32.const 3)))))
    (if (i32.and (i32.eqz (local.get $seen)) (i32.eqz (local.get $last))) (then (return (i32.const 1))))
    (i32.store (call $slot (local.get $stream)) (local.get $stream))
    (i32.const 0)))
