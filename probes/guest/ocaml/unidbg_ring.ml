(* The probe over the C library (unidbg_probe.c, unidbg_ring_stubs.c): its ring in RAM, which the host reads from outside, so that a
   unikernel needs no device, no network and no scheduler for it. *)

external start : string -> unit = "unidbg_ocaml_start"
external clock_ns : unit -> (int64[@unboxed]) = "unidbg_ocaml_clock_bytes" "unidbg_ocaml_clock" [@@noalloc]
external declare : int -> string -> string -> string -> int = "unidbg_ocaml_declare" [@@noalloc]
external integer : (int[@untagged]) -> (int64[@unboxed]) -> unit = "unidbg_ocaml_integer_bytes" "unidbg_ocaml_integer" [@@noalloc]
external float : (int[@untagged]) -> (float[@unboxed]) -> unit = "unidbg_ocaml_float_bytes" "unidbg_ocaml_float" [@@noalloc]

external span : (int[@untagged]) -> (int64[@unboxed]) -> (int64[@unboxed]) -> unit
  = "unidbg_ocaml_span_bytes" "unidbg_ocaml_span"
  [@@noalloc]

external poll : unit -> unit = "unidbg_ocaml_poll" [@@noalloc]

(* Once in a program. *)
let open_ring ~program =
  start program;
  let number = function Unidbg.Gauge -> 0 | Counter -> 1 | Span -> 2 in
  let declare kind name unit attributes = declare (number kind) name unit attributes in
  { Unidbg.declare; integer; float; span; poll; clock_ns }
