/** Grammars of the kinds that people write, none of which may be refused; each with texts inside and outside of it. */
export const ORDINARY_GRAMMARS: Readonly<
  Record<string, { gbnf: string; yes: readonly string[]; no: readonly string[] }>
> = {
  'a list': {
    gbnf: String.raw`root ::= ("* " [^\n\x0b\u2028]+ "\n")+`,
    yes: ['* a\n', '* milk\n* öl\n'],
    no: ['', '* \n', '* a', '- a\n'],
  },
  sums: {
    gbnf: String.raw`
      root ::= (sum "=" blank product "\n")+
      sum ::= product ([-+] blank product)*
      product ::= atom ([*/] blank atom)*
      atom ::= name | digits | "(" blank sum ")" blank
      name ::= [a-z] [a-z0-9_]* blank
      digits ::= [0-9]+ blank
      blank ::= [ \t]*`,
    yes: ['a+1=2\n', '(a + (b)) * 3 = x\n'],
    no: ['a+=2\n', '((a)=1\n'],
  },
  'moves of chess': {
    gbnf: `root ::= ([1-9] [0-9]? ". " move " " move "\\n")+
move ::= (pawn | piece | castle) [+#]?
piece ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBQR])?
castle ::= "O-O" "-O"?`,
    yes: ['1. e4 e5\n', '1. e4 e5\n2. Nf3 O-O-O+\n'],
    no: ['1. e9 e5\n', '1. e4\n'],
  },
  JSON: {
    gbnf: String.raw`
      root ::= object
      value ::= object | array | string | number | ("true" | "false" | "null") ws
      object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
      array ::= "[" ws ( value ("," ws value)* )? "]" ws
      string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws  # with escapes
      number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
      ws ::= | " " | "\n" [ \t]{0,20}`,
    yes: ['{}', '{"a": [1, -2.5e3, "\\u00e4", {"b":null}]}\n  '],
    no: ['[]', '{"a":}', '{"a":1,}'],
  },
  'a language like C': {
    gbnf: String.raw`
      root ::= (function)*
      function ::= type name "(" (type name)? ")" "{" statement* "}"
      type ::= "int" ws | "float" ws
      name ::= [a-zA-Z_] [a-zA-Z_0-9]*
      statement ::=
        ( type name ws "=" ws expression ";" ) |
        ( name ws "=" ws expression ";" ) |
        ( name ws "(" arguments? ")" ";" ) |
        ( "return" ws expression ";" ) |
        ( "while" "(" condition ")" "{" statement* "}" ) |
        ( "if" "(" condition ")" "{" statement* "}" ("else" "{" statement* "}")? ) |
        ( "/*" ( [^*] | ("*" [^/]) )* "*/" )
      condition ::= expression ("<=" | "<" | "==") expression
      expression ::= term (("+" | "-") term)*
      term ::= factor (("*" | "/") factor)*
      factor ::= name | number | "-" factor | name "(" arguments? ")" | "(" ws expression ws ")"
      arguments ::= expression ("," ws expression)*
      number ::= [0-9]+
      ws ::= ([ \t\n]+)`,
    yes: ['', 'int f(){return 1+g(x);}', 'int f(int a){while(a<3){a = a+1;}/* * */}'],
    no: ['int f(', 'int f(){return 1}'],
  },
  'English words': {
    gbnf: String.raw`root ::= en+ ([ \t\n] en+)*
en ::= letter | digit | mark
letter ::= [a-zA-Z]
digit ::= [0-9]
mark ::= [!"#$%&'()*+,-./:;<=>?@[\\\]^_${'`'}{|}~]`,
    yes: ['Hello, world!', '[a] \\b'],
    no: ['', ' a', 'a  b', 'ä'],
  },
  'Japanese characters': {
    gbnf: 'root ::= jp+ ([ \\n] jp+)*\njp ::= [ぁ-ゟ] | [ァ-ヿ] | [、-〾] | [一-鿿]',
    yes: ['こんにちは', '日本 カ。'],
    no: ['a', 'こ '],
  },
  'one of some words': {
    gbnf: 'root ::= "positive" | "negative" | "neutral"',
    yes: ['positive', 'neutral'],
    no: ['neg', 'positives', ''],
  },
  'a thought and an answer': {
    gbnf: 'root ::= "<think>\\n" [^<]* "</think>\\n" ("yes" | "no") "."? ws\nws ::= [ \\n]{0,3}',
    yes: ['<think>\nhm</think>\nyes.', '<think>\n</think>\nno\n\n'],
    no: ['yes', '<think>\n<</think>\nyes'],
  },
};
