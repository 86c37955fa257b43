// Small programs in languages with a run time of their own, which is most of their code.

export const GO_SOURCE = `package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
)

type record struct {
	Name  string
	Count int
	Next  *record
}

func tally[K comparable](items []K) map[K]int {
	counts := make(map[K]int)
	for _, item := range items {
		counts[item]++
	}
	return counts
}

func (r *record) depth() int {
	if r == nil {
		return 0
	}
	return 1 + r.Next.depth()
}

func main() {
	var wait sync.WaitGroup
	words := strings.Fields("one two three two one two " + strings.Join(os.Args, " "))
	for word, count := range tally(words) {
		wait.Add(1)
		go func(word string, count int) {
			defer wait.Done()
			text, err := json.Marshal(&record{word, count, &record{Name: "inner"}})
			fmt.Println(string(text), err, (&record{Next: &record{}}).depth())
		}(word, count)
	}
	wait.Wait()
	sort.Slice(words, func(a, b int) bool { return words[a] < words[b] })
	if len(os.Args) > 1 {
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL, words) })
		fmt.Println(http.ListenAndServe(os.Args[1], nil))
	}
}
`;

export const RUST_SOURCE = `use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{BufRead, Read, Write};
use std::sync::{mpsc, Arc, Mutex};

trait Shape { fn area(&self) -> f64; fn name(&self) -> String { "shape".to_string() } }
#[derive(Debug, Clone)] struct Square(f64);
#[derive(Debug, Clone)] enum Other { Circle { radius: f64 }, Named(String) }
impl Shape for Square { fn area(&self) -> f64 { self.0 * self.0 } }
impl Shape for Other {
    fn area(&self) -> f64 { match self { Other::Circle { radius } => radius * radius * 3.14, Other::Named(name) => name.len() as f64 } }
    fn name(&self) -> String { format!("{:?}", self) }
}

#[inline(never)]
fn tally<T: std::hash::Hash + Eq + Ord + Clone>(items: &[T]) -> BTreeMap<T, usize> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    for item in items { *counts.entry(item.clone()).or_insert(0) += 1; }
    counts.into_iter().collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shapes: Vec<Box<dyn Shape + Send>> = vec![Box::new(Square(2.0)), Box::new(Other::Circle { radius: 1.0 }), Box::new(Other::Named("x".into()))];
    let total = Arc::new(Mutex::new(0.0));
    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = shapes.into_iter().enumerate().map(|(index, shape)| {
        let (total, sender) = (Arc::clone(&total), sender.clone());
        std::thread::spawn(move || { *total.lock().unwrap() += shape.area(); sender.send((index, shape.name())).unwrap(); })
    }).collect();
    drop(sender);
    for thread in threads { thread.join().unwrap(); }
    let mut names: Vec<_> = receiver.iter().collect();
    names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut text = String::new();
    for (index, name) in &names { write!(text, "{index}:{name} ")?; }
    let words: Vec<&str> = text.split_whitespace().collect();
    println!("{:?} {}", tally(&words), total.lock().unwrap());
    if let Some(path) = std::env::args().nth(1) {
        let mut contents = String::new();
        std::fs::File::open(&path)?.read_to_string(&mut contents)?;
        for line in contents.as_bytes().lines() { std::io::stdout().write_all(line?.to_uppercase().as_bytes())?; }
        let number: u128 = contents.trim().parse()?;
        println!("{number:#x}");
    }
    Ok(())
}
`;

export const OCAML_SOURCE = `module Names = Map.Make (String)

type shape = Square of float | Circle of { radius : float } | Named of string

exception Unknown of string

let area = function
  | Square side -> side *. side
  | Circle { radius } -> radius *. radius *. 3.14
  | Named "" -> raise (Unknown "empty")
  | Named name -> float_of_int (String.length name)

let tally items =
  List.fold_left (fun counts item ->
    Names.update item (function None -> Some 1 | Some n -> Some (n + 1)) counts) Names.empty items

let rec depth = function [] -> 0 | _ :: rest -> 1 + depth rest

let () =
  let words = Str.split (Str.regexp "[ \\t]+") (String.concat " " (Array.to_list Sys.argv)) in
  Names.iter (fun word count -> Printf.printf "%s %d\\n" word count) (tally words);
  let shapes = [ Square 2.; Circle { radius = 1. }; Named (String.concat "," words) ] in
  let total = List.fold_left (fun sum shape -> sum +. area shape) 0. shapes in
  (try ignore (area (Named "")) with Unknown why -> prerr_endline why);
  let table = Hashtbl.create 16 in
  List.iteri (fun index word -> Hashtbl.replace table word (index, Unix.gettimeofday ())) words;
  Format.printf "@[%f %d %d@]@." total (depth shapes) (Hashtbl.length table);
  if Array.length Sys.argv > 1 then begin
    let info = Unix.stat Sys.argv.(1) in
    Printf.printf "%d %s\\n" info.Unix.st_size (Digest.to_hex (Digest.file Sys.argv.(1)));
    match Unix.fork () with 0 -> exit 0 | child -> ignore (Unix.waitpid [] child)
  end
`;
