(* Says what conformance.txt asks for on its standard input, as frames on its standard output. With a file's name it is a program that
   watches its collector and speaks to that file. *)
open Unidbg

let dash text = if text = "-" then "" else text
let kind_of = function "gauge" -> Gauge | "counter" -> Counter | _ -> Span

let record_of line =
  match String.split_on_char ' ' line with
  | "hello" :: sequence :: time :: [ metrics; dropped; program ] ->
      Wire.hello ~sequence:(int_of_string sequence) ~time:(Int64.of_string time) ~metrics:(int_of_string metrics)
        ~dropped:(int_of_string dropped) ~program
  | "declare" :: sequence :: time :: [ id; kind; name; unit; attributes ] ->
      Wire.declare ~sequence:(int_of_string sequence) ~time:(Int64.of_string time) ~id:(int_of_string id)
        ~kind:(kind_of kind) ~name ~unit:(dash unit) ~attributes:(dash attributes)
  | [ what; sequence; time; id; value ] -> (
      let sequence = int_of_string sequence and time = Int64.of_string time and id = int_of_string id in
      match what with
      | "integer" -> Wire.integer ~sequence ~time ~id (Int64.of_string value)
      | "float" -> Wire.float ~sequence ~time ~id (float_of_string value)
      | _ -> Wire.span ~sequence ~start:time ~id (Int64.of_string value))
  | _ -> failwith line

let churn () = List.length (Sys.opaque_identity (List.init 200_000 string_of_int))

let live path =
  let channel = open_out_bin path in
  let clock_ns () = Int64.of_float (Sys.time () *. 1e9) in
  let put frame =
    output_string channel frame;
    true
  in
  let probe = open_stream ~program:"ocaml" ~clock_ns ~put in
  let orders = declare probe Counter "shop.orders" ~unit:"{order}" ~attributes:"region=eu" in
  let took = declare probe Span "shop.order" ~unit:"ns" in
  let say_gc = watch_gc probe in
  for order = 1 to 10 do
    let start = clock_ns () in
    ignore (churn ());
    integer probe orders order;
    span probe took ~start ~duration:(Int64.sub (clock_ns ()) start);
    poll probe
  done;
  Gc.full_major ();
  say_gc ();
  let stat = Gc.quick_stat () in
  Printf.printf "%d %d\n" stat.minor_collections stat.major_collections;
  close_out channel

let () =
  match Sys.argv with
  | [| _; path |] -> live path
  | _ -> (
      set_binary_mode_out stdout true;
      try
        while true do
          print_string (Wire.frame (record_of (input_line stdin)))
        done
      with End_of_file -> ())
