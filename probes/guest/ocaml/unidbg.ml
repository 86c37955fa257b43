(* unidbg's in-guest probe for OCaml 4.13 and later, without dependencies: what the collector does, and metrics of the program's own. The
   wire protocol is docs/probe-protocol.md. This file speaks over any byte stream; unidbg_ring.ml over the C library's ring in RAM, for
   unikernels (Solo5) that have nothing else. Not for several domains at a time.

     let probe = Unidbg.open_stream ~program:"shop" ~clock_ns ~put
     let orders = Unidbg.declare probe Counter "shop.orders" ~unit:"{order}"
     let () = Unidbg.integer probe orders 17
     let say_gc = Unidbg.watch_gc probe      (* then say_gc () and poll probe, once a second or so *) *)

type kind = Gauge | Counter | Span

module Wire = struct
  (* Records as strings, and what makes frames of them. Sequences and ids are taken modulo their size. *)

  let version = 1
  let max_record = 112

  let start kind id sequence time =
    let record = Buffer.create (max_record + 6) in
    Buffer.add_uint8 record kind;
    Buffer.add_uint8 record 0;
    Buffer.add_uint16_le record (id land 0xffff);
    Buffer.add_int32_le record (Int32.of_int sequence);
    Buffer.add_int64_le record time;
    record

  let add_text record text most =
    let length = min (String.length text) most in
    Buffer.add_uint8 record length;
    Buffer.add_substring record text 0 length

  let hello ~sequence ~time ~metrics ~dropped ~program =
    let record = start 1 0 sequence time in
    Buffer.add_uint8 record version;
    Buffer.add_uint8 record 0;
    Buffer.add_uint16_le record (metrics land 0xffff);
    Buffer.add_int32_le record (Int32.of_int dropped);
    add_text record program 64;
    Buffer.contents record

  let declare ~sequence ~time ~id ~kind ~name ~unit ~attributes =
    let record = start 2 id sequence time in
    Buffer.add_uint8 record (match kind with Gauge -> 0 | Counter -> 1 | Span -> 2);
    add_text record name 72;
    add_text record unit 20;
    if attributes <> "" then add_text record attributes (max_record - Buffer.length record - 1);
    Buffer.contents record

  let value kind sequence time id bits =
    let record = start kind id sequence time in
    Buffer.add_int64_le record bits;
    Buffer.contents record

  let integer ~sequence ~time ~id v = value 3 sequence time id v
  let float ~sequence ~time ~id v = value 4 sequence time id (Int64.bits_of_float v)
  let span ~sequence ~start ~id duration = value 5 sequence start id duration

  let crc_table =
    Array.init 256 (fun byte ->
        let crc = ref byte in
        for _ = 1 to 8 do
          crc := if !crc land 1 = 0 then !crc lsr 1 else (!crc lsr 1) lxor 0xedb88320
        done;
        !crc)

  let crc32 text =
    let crc = ref 0xffffffff in
    String.iter (fun c -> crc := (!crc lsr 8) lxor crc_table.((!crc lxor Char.code c) land 0xff)) text;
    !crc lxor 0xffffffff

  (* CRC, then COBS: records are far below 254 bytes, so one overhead byte is enough. *)
  let frame record =
    let length = String.length record + 4 in
    let framed = Bytes.make (length + 2) '\000' in
    Bytes.blit_string record 0 framed 1 (length - 4);
    Bytes.set_int32_le framed (length - 3) (Int32.of_int (crc32 record));
    let code_at = ref 0 in
    for at = 1 to length + 1 do
      if Bytes.get framed at = '\000' then (
        Bytes.set_uint8 framed !code_at (at - !code_at);
        code_at := at)
    done;
    Bytes.unsafe_to_string framed
end

(* A metric that was declared; 0 is none. *)
type metric = int

type t = {
  declare : kind -> string -> string -> string -> metric;
  integer : metric -> int64 -> unit;
  float : metric -> float -> unit;
  span : metric -> int64 -> int64 -> unit;
  poll : unit -> unit;
  clock_ns : unit -> int64;
}

let max_metrics = 1000

(* [put frame] takes a whole frame, or gives false without having taken any of it: then the record is dropped, and counted. It must not
   wait. [clock_ns] is monotonic. *)
let open_stream ~program ~clock_ns ~put =
  let metrics = ref [||] and sequence = ref 0 and dropped = ref 0 and announced_at = ref Int64.min_int in
  (* A record that is dropped has its number nevertheless: so the other side knows. *)
  let send record =
    let number = !sequence in
    sequence := (number + 1) land 0xffffffff;
    if not (put (Wire.frame (record number))) then dropped := (!dropped + 1) land 0xffffffff
  in
  let send_declaration id =
    let kind, name, unit, attributes = !metrics.(id - 1) in
    send (fun sequence -> Wire.declare ~sequence ~time:(clock_ns ()) ~id ~kind ~name ~unit ~attributes)
  in
  let announce () =
    let time = clock_ns () in
    announced_at := time;
    send (fun sequence ->
        Wire.hello ~sequence ~time ~metrics:(Array.length !metrics) ~dropped:!dropped ~program);
    for id = 1 to Array.length !metrics do
      send_declaration id
    done
  in
  let declare kind name unit attributes =
    let id = Array.length !metrics + 1 in
    let length = String.(length name + length unit + length attributes) in
    if id > max_metrics || String.length name > 72 || String.length unit > 20 || length > Wire.max_record - 20 then 0
    else (
      metrics := Array.append !metrics [| (kind, name, unit, attributes) |];
      send_declaration id;
      id)
  in
  let unless_none id record = if id > 0 then send record in
  announce ();
  {
    declare;
    clock_ns;
    integer = (fun id v -> unless_none id (fun sequence -> Wire.integer ~sequence ~time:(clock_ns ()) ~id v));
    float = (fun id v -> unless_none id (fun sequence -> Wire.float ~sequence ~time:(clock_ns ()) ~id v));
    span = (fun id start duration -> unless_none id (fun sequence -> Wire.span ~sequence ~start ~id duration));
    poll = (fun () -> if Int64.sub (clock_ns ()) !announced_at >= 1_000_000_000L then announce ());
  }

(* [attributes] is "key=value", at most four with commas between them. *)
let declare ?(attributes = "") probe kind name ~unit = probe.declare kind name unit attributes
let integer probe metric v = probe.integer metric (Int64.of_int v)
let float probe metric v = probe.float metric v

(* When it began on the probe's clock, and how long it took. *)
let span probe metric ~start ~duration = probe.span metric start duration

(* Repeats the names once a second. *)
let poll probe = probe.poll ()

(* Says the collector's counters at the end of each major cycle, and whenever the function it gives is called. The names are those under
   which unidbg reads the same from outside where it can; there it prefers its own reading. *)
let watch_gc probe =
  let counter name unit = declare probe Counter name ~unit and gauge name unit = declare probe Gauge name ~unit in
  let minor_words = counter "ocaml.gc.minor.words" "{word}" and promoted = counter "ocaml.gc.promoted.words" "{word}" in
  let major_words = counter "ocaml.gc.major.words" "{word}" and minors = counter "ocaml.gc.minor.collections" "{collection}" in
  let majors = counter "ocaml.gc.major.cycles" "{cycle}" and compactions = counter "ocaml.gc.compactions" "{compaction}" in
  let heap = gauge "ocaml.gc.heap.size" "By" and peak = gauge "ocaml.gc.heap.size.peak" "By" in
  let ended = counter "ocaml.gc.major.ends" "{cycle}" in
  let bytes words = words * (Sys.word_size / 8) in
  let alarms = ref 0 in
  let say () =
    let stat = Gc.quick_stat () in
    probe.float minor_words (Gc.minor_words ());
    probe.float promoted stat.promoted_words;
    probe.float major_words stat.major_words;
    integer probe minors stat.minor_collections;
    integer probe majors stat.major_collections;
    integer probe compactions stat.compactions;
    integer probe heap (bytes stat.heap_words);
    integer probe peak (bytes stat.top_heap_words);
    integer probe ended !alarms
  in
  let _alarm : Gc.alarm =
    Gc.create_alarm (fun () ->
        incr alarms;
        say ())
  in
  say
