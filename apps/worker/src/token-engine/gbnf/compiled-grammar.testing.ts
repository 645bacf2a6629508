/** A schema with something of everything; `prompt/json-schema` proves that it compiles to the grammar below. */
export const COMPILED_SCHEMA = {
  type: 'object',
  properties: {
    kind: { enum: ['cat', 'car', 1] },
    'n"é': { type: 'integer', minimum: -3, maximum: 120 },
    tags: { type: 'array', items: { type: 'string', pattern: '^[a-z"]+$', maxLength: 4 }, maxItems: 3 },
    next: { anyOf: [{ $ref: '#' }, { type: 'null' }] },
  },
  required: ['kind'],
  additionalProperties: { type: ['string', 'boolean'], maxLength: 5 },
};

/** Its grammar, with texts inside and outside of it. */
export const COMPILED_GRAMMAR = {
  yes: [
    '{"kind":"cat"}',
    '{ "kind": 1, "n\\"é": 120, "tags": ["a", "b\\"c"], "next": {"kind":"car","next":null} }',
    '{\n  "kind": "car",\n  "nex": "\\u00e4",\n  "nextt": false\n}',
  ],
  no: [
    '{}',
    '{"kind":"ca"}',
    '{"kind":1,"kind":1}',
    '{"kind":1,"n\\"é":121}',
    '{"kind":1,"x":"123456"}',
    '{"kind":1,"next":1}',
  ],
  gbnf: String.raw`root ::= r1
r1 ::= "{" r2 r3
r2 ::= "" | " " | "\n" [ \t]{0,40}
r3 ::= "\"" r4
r4 ::= "kind" r5
r5 ::= r6
r6 ::= "\"" ":" r2 r7 r8
r7 ::= r9
r8 ::= r2 "}" | "," r2 "\"" ra
r9 ::= [\x22] rb | [1] rc
ra ::= "k" rd | "n" re | "t" rf | rg | [\x20-\x21\x23-\x5b\x5d-jl-mo-su-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
rb ::= [c] rj
rc ::= ""
rd ::= "i" rk | rg | [\x20-\x21\x23-\x5b\x5d-hj-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
re ::= "\x5c" rl | "e" rm | rg | [\x20-\x21\x23-\x5b\x5d-df-\ud7ff\ue000-\U0010ffff] rh
rf ::= "a" rn | rg | [\x20-\x21\x23-\x5b\x5d-\x60b-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
rg ::= "\"" ":" r2 ro rp
rh ::= rg | [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
ri ::= [\x22\x5cbfnrt] rh | [u] rq
rj ::= [a] rr
rk ::= "n" rs | rg | [\x20-\x21\x23-\x5b\x5d-mo-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
rl ::= "\x22" rt | [\x5cbfnrt] rh | [u] rq
rm ::= "x" ru | rg | [\x20-\x21\x23-\x5b\x5d-wy-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
rn ::= "g" rv | rg | [\x20-\x21\x23-\x5b\x5d-fh-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
ro ::= rw | "true" | "false"
rp ::= r2 "}" | "," r2 "\"" rx
rq ::= [0] ry
rr ::= [r] rz | [t] r10
rs ::= "d" r11 | rg | [\x20-\x21\x23-\x5b\x5d-ce-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
rt ::= "\xe9" r12 | rg | [\x20-\x21\x23-\x5b\x5d-\xe8\xea-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
ru ::= "t" r13 | rg | [\x20-\x21\x23-\x5b\x5d-su-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
rv ::= "s" r14 | rg | [\x20-\x21\x23-\x5b\x5d-rt-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
rw ::= "\"" r15{0,5} "\""
rx ::= "k" rd | "n" r16 | "t" r17 | rg | [\x20-\x21\x23-\x5b\x5d-jl-mo-su-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
ry ::= [0] r18
rz ::= [\x22] r19
r10 ::= [\x22] r1a
r11 ::= [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r12 ::= r1b | [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r13 ::= r1c | [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r14 ::= r1d | [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r15 ::= [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] | "\\" r1e
r16 ::= "\x5c" r1f | "e" r1g | rg | [\x20-\x21\x23-\x5b\x5d-df-\ud7ff\ue000-\U0010ffff] rh
r17 ::= "a" r1h | rg | [\x20-\x21\x23-\x5b\x5d-\x60b-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r18 ::= [0] r1i | [1] r1j
r19 ::= ""
r1a ::= ""
r1b ::= "\"" ":" r2 r1k r1l
r1c ::= "\"" ":" r2 r1m r1n
r1d ::= "\"" ":" r2 r1o r1p
r1e ::= ["\\/bfnrt] | "u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] ([0-7] [0-9a-fA-F]{2} | [89abAB] [0-9a-fA-F]{2} "\\u" [dD] [c-fC-F] [0-9a-fA-F]{2}))
r1f ::= "\x22" r1q | [\x5cbfnrt] rh | [u] rq
r1g ::= "x" r1r | rg | [\x20-\x21\x23-\x5b\x5d-wy-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r1h ::= "g" r1s | rg | [\x20-\x21\x23-\x5b\x5d-fh-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r1i ::= [01234567bef] rh
r1j ::= [0123456789abcdef] rh
r1k ::= r1t
r1l ::= r2 "}" | "," r2 "\"" r1u
r1m ::= r1v | r1w
r1n ::= r2 "}" | "," r2 "\"" rx
r1o ::= "[" r2 r1x r1y | "[" r2 "]"
r1p ::= r2 "}" | "," r2 "\"" r1z
r1q ::= "\xe9" r20 | rg | [\x20-\x21\x23-\x5b\x5d-\xe8\xea-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r1r ::= "t" r21 | rg | [\x20-\x21\x23-\x5b\x5d-su-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r1s ::= "s" r22 | rg | [\x20-\x21\x23-\x5b\x5d-rt-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r1t ::= [\x2d] r23 | [0] r24 | [1] r25 | [2-9] r26
r1u ::= "k" rd | "n" r27 | "t" rf | rg | [\x20-\x21\x23-\x5b\x5d-jl-mo-su-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r1v ::= r28
r1w ::= "null"
r1x ::= r29
r1y ::= r2a{0,2} r2 "]"
r1z ::= "k" rd | "n" r27 | "t" r17 | rg | [\x20-\x21\x23-\x5b\x5d-jl-mo-su-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r20 ::= [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r21 ::= [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r22 ::= [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] rh | [\x5c] ri
r23 ::= [0-3] r24
r24 ::= ""
r25 ::= [0-1] r26 | [2] r2b | [3-9] r24 | ""
r26 ::= [0-9] r24 | ""
r27 ::= "\x5c" r1f | "e" rm | rg | [\x20-\x21\x23-\x5b\x5d-df-\ud7ff\ue000-\U0010ffff] rh
r28 ::= "{" r2 r2c
r29 ::= "\"" r2d
r2a ::= "," r2 r1x
r2b ::= [0] r24 | ""
r2c ::= "\"" r2e
r2d ::= [a-z] r2f | "\\" r2g
r2e ::= "kind" r2h
r2f ::= [a-z] r2i | "\\" r2j | "\""
r2g ::= [\x22] r2f
r2h ::= r2k
r2i ::= [a-z] r2l | "\\" r2m | "\""
r2j ::= [\x22] r2i
r2k ::= "\"" ":" r2 r7 r2n
r2l ::= [a-z] r2o | "\\" r2p | "\""
r2m ::= [\x22] r2l
r2n ::= r2 "}" | "," r2 "\"" r2q
r2o ::= "\""
r2p ::= [\x22] r2o
r2q ::= "k" r2r | "n" r2s | "t" r2t | r2u | [\x20-\x21\x23-\x5b\x5d-jl-mo-su-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r2r ::= "i" r2x | r2u | [\x20-\x21\x23-\x5b\x5d-hj-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r2s ::= "\x5c" r2y | "e" r2z | r2u | [\x20-\x21\x23-\x5b\x5d-df-\ud7ff\ue000-\U0010ffff] r2v
r2t ::= "a" r30 | r2u | [\x20-\x21\x23-\x5b\x5d-\x60b-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r2u ::= "\"" ":" r2 ro r31
r2v ::= r2u | [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r2w ::= [\x22\x5cbfnrt] r2v | [u] r32
r2x ::= "n" r33 | r2u | [\x20-\x21\x23-\x5b\x5d-mo-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r2y ::= "\x22" r34 | [\x5cbfnrt] r2v | [u] r32
r2z ::= "x" r35 | r2u | [\x20-\x21\x23-\x5b\x5d-wy-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r30 ::= "g" r36 | r2u | [\x20-\x21\x23-\x5b\x5d-fh-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r31 ::= r2 "}" | "," r2 "\"" r37
r32 ::= [0] r38
r33 ::= "d" r39 | r2u | [\x20-\x21\x23-\x5b\x5d-ce-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r34 ::= "\xe9" r3a | r2u | [\x20-\x21\x23-\x5b\x5d-\xe8\xea-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r35 ::= "t" r3b | r2u | [\x20-\x21\x23-\x5b\x5d-su-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r36 ::= "s" r3c | r2u | [\x20-\x21\x23-\x5b\x5d-rt-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r37 ::= "k" r2r | "n" r3d | "t" r3e | r2u | [\x20-\x21\x23-\x5b\x5d-jl-mo-su-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r38 ::= [0] r3f
r39 ::= [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3a ::= r3g | [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3b ::= r3h | [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3c ::= r3i | [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3d ::= "\x5c" r3j | "e" r3k | r2u | [\x20-\x21\x23-\x5b\x5d-df-\ud7ff\ue000-\U0010ffff] r2v
r3e ::= "a" r3l | r2u | [\x20-\x21\x23-\x5b\x5d-\x60b-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3f ::= [0] r3m | [1] r3n
r3g ::= "\"" ":" r2 r1k r3o
r3h ::= "\"" ":" r2 r1m r3p
r3i ::= "\"" ":" r2 r1o r3q
r3j ::= "\x22" r3r | [\x5cbfnrt] r2v | [u] r32
r3k ::= "x" r3s | r2u | [\x20-\x21\x23-\x5b\x5d-wy-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3l ::= "g" r3t | r2u | [\x20-\x21\x23-\x5b\x5d-fh-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3m ::= [01234567bef] r2v
r3n ::= [0123456789abcdef] r2v
r3o ::= r2 "}" | "," r2 "\"" r3u
r3p ::= r2 "}" | "," r2 "\"" r37
r3q ::= r2 "}" | "," r2 "\"" r3v
r3r ::= "\xe9" r3w | r2u | [\x20-\x21\x23-\x5b\x5d-\xe8\xea-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3s ::= "t" r3x | r2u | [\x20-\x21\x23-\x5b\x5d-su-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3t ::= "s" r3y | r2u | [\x20-\x21\x23-\x5b\x5d-rt-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3u ::= "k" r2r | "n" r3z | "t" r2t | r2u | [\x20-\x21\x23-\x5b\x5d-jl-mo-su-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3v ::= "k" r2r | "n" r3z | "t" r3e | r2u | [\x20-\x21\x23-\x5b\x5d-jl-mo-su-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3w ::= [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3x ::= [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3y ::= [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] r2v | [\x5c] r2w
r3z ::= "\x5c" r3j | "e" r2z | r2u | [\x20-\x21\x23-\x5b\x5d-df-\ud7ff\ue000-\U0010ffff] r2v`,
};
