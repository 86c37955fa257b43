; The program that the demo guest's runtime runs: (job n) does a share of list and tree work whose result is known, and
; keeps the trees of the last jobs in `archive`, so that a collection finds something alive.

(define (not x) (null? x))
(define (length list) (length-from list 0))
(define (length-from list n) (if (null? list) n (length-from (cdr list) (+ n 1))))
(define (reverse-onto list tail) (if (null? list) tail (reverse-onto (cdr list) (cons (car list) tail))))
(define (take n list) (if (if (= n 0) true (null? list)) '() (cons (car list) (take (- n 1) (cdr list)))))
(define (range low high) (range-down low (- high 1) '()))
(define (range-down low high tail) (if (< high low) tail (range-down low (- high 1) (cons high tail))))
(define (filter keep? list)
  (cond ((null? list) '())
        ((keep? (car list)) (cons (car list) (filter keep? (cdr list))))
        (true (filter keep? (cdr list)))))

; Eratosthenes, with closures.
(define (sieve list)
  (if (null? list)
      '()
      (let ((prime (car list)))
        (cons prime (sieve (filter (lambda (n) (not (= 0 (remainder n prime)))) (cdr list)))))))

; How many ways to put n queens on an n×n board; a board is the list of the columns so far, newest row first.
(define (queens n) (place-rows n n '()))
(define (place-rows rows n board) (if (= rows 0) 1 (try-columns rows n n board)))
(define (try-columns rows column n board)
  (if (= column 0)
      0
      (+ (if (safe? column board 1) (place-rows (- rows 1) n (cons column board)) 0)
         (try-columns rows (- column 1) n board))))
(define (safe? column board distance)
  (cond ((null? board) true)
        ((= (car board) column) '())
        ((= (car board) (+ column distance)) '())
        ((= (car board) (- column distance)) '())
        (true (safe? column (cdr board) (+ distance 1)))))

; Full binary trees: a leaf is '(), 2^(depth+1)-1 pairs.
(define (build depth) (if (= depth 0) (cons '() '()) (cons (build (- depth 1)) (build (- depth 1)))))
(define (count tree) (if (null? tree) 0 (+ 1 (count (car tree)) (count (cdr tree)))))

; Quicksort of pseudo-random numbers.
(define (random-list n seed) (if (= n 0) '() (cons seed (random-list (- n 1) (remainder (+ (* seed 75) 74) 65537)))))
(define (sort list)
  (if (null? list)
      '()
      (let ((pivot (car list)))
        (append (sort (filter (lambda (x) (< x pivot)) (cdr list)))
                (cons pivot (sort (filter (lambda (x) (not (< x pivot))) (cdr list))))))))
(define (append front back) (reverse-onto (reverse-onto front '()) back))
(define (sorted? list)
  (cond ((null? (cdr list)) true)
        ((< (car (cdr list)) (car list)) '())
        (true (sorted? (cdr list)))))

(define archive '())
(define (remember tree) (set! archive (take 24 (cons tree archive))))

; queens(5) = 10, primes below 100 = 25, a sorted list = 1, and the pairs of a tree of depth 5 to 8 = 63, 127, 255, 511.
(define (job n)
  (let ((tree (build (+ 5 (remainder n 4)))))
    (begin
      (remember tree)
      (+ (queens 5)
         (length (sieve (range 2 100)))
         (if (sorted? (sort (random-list 60 (+ n 1)))) 1 0)
         (count tree)))))
