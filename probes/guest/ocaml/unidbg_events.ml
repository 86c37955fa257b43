(* For OCaml 5 on a system with files: the collector's pauses, as the run time's own events tell them. *)

let most_nested = 64

(* Says every minor collection and every slice of a major one as a span, when the function it gives is called. Times are the run time's. *)
let watch_pauses probe =
  let declare name = Unidbg.declare probe Span name ~unit:"ns" in
  let minor = declare "ocaml.gc.minor.pause" and major = declare "ocaml.gc.major.slice" in
  let world = declare "ocaml.gc.stop" in
  let metric_of = function
    | Runtime_events.EV_MINOR -> Some minor
    | EV_MAJOR_SLICE -> Some major
    | EV_STW_LEADER -> Some world
    | _ -> None
  in
  let begun = Hashtbl.create 16 in
  let runtime_begin domain time phase =
    if metric_of phase <> None && Hashtbl.length begun < most_nested then
      Hashtbl.replace begun (domain, phase) (Runtime_events.Timestamp.to_int64 time)
  in
  let runtime_end domain time phase =
    match (metric_of phase, Hashtbl.find_opt begun (domain, phase)) with
    | Some metric, Some start ->
        Hashtbl.remove begun (domain, phase);
        Unidbg.span probe metric ~start ~duration:(Int64.sub (Runtime_events.Timestamp.to_int64 time) start)
    | _ -> ()
  in
  Runtime_events.start ();
  let cursor = Runtime_events.create_cursor None in
  let callbacks = Runtime_events.Callbacks.create ~runtime_begin ~runtime_end () in
  fun () -> ignore (Runtime_events.read_poll cursor callbacks None : int)
