//! The language, from text to outcome.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

/// Fields of every type: `(name, type)`.
#[derive(Debug, Clone, Default)]
struct Fields;

#[derive(Debug)]
struct Sockets;

impl Names for Sockets {
    fn number(&self, name: &str) -> Option<i128> {
        name.split('|').try_fold(0, |sum, one| {
            let at = self.all().iter().position(|n| *n == one)?;
            Some(sum | 1 << at)
        })
    }

    fn name(&self, number: i128) -> Option<String> {
        let set = self.all().into_iter().enumerate().filter(|(n, _)| number & 1 << n != 0);
        Some(set.map(|(_, name)| name).collect::<Vec<_>>().join("|"))
    }

    fn are_flags(&self) -> bool {
        true
    }

    fn all(&self) -> Vec<&str> {
        vec!["READ", "WRITE", "EXEC"]
    }
}

const FIELDS: [(&str, Type); 9] = [
    ("data.pathname", Type::Text),
    ("data.cut", Type::Text),
    ("uid", Type::Int),
    ("data.flags", Type::Int),
    ("data.ip", Type::Ip),
    ("data.argv", Type::Texts),
    ("ok", Type::Bool),
    ("lost", Type::Text),
    ("labels.app", Type::Text),
];

impl Schema for Fields {
    type Slot = usize;

    fn field(&self, path: &str) -> Option<Field<usize>> {
        let slot = FIELDS.iter().position(|(name, _)| *name == path)?;
        let names: Option<&dyn Names> = (path == "data.flags").then_some(&Sockets);
        Some(Field { slot, ty: FIELDS[slot].1, names })
    }

    fn names(&self) -> Vec<String> {
        FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn list(&self, name: &str) -> Option<&[Vec<u8>]> {
        static SHELLS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
        let shells = SHELLS.get_or_init(|| vec![b"/bin/sh".to_vec(), b"/bin/bash".to_vec()]);
        (name == "SHELLS").then_some(shells)
    }

    fn function(&self, name: &str, args: &[&str]) -> Option<Result<Field<usize>, String>> {
        (name == "getEventData").then(|| match args {
            [arg] => self.field(&format!("data.{arg}")).ok_or_else(|| format!("no field '{arg}'")),
            _ => Err("one argument".into()),
        })
    }
}

struct One;

impl Subject for One {
    type Slot = usize;

    fn get(&self, slot: &usize) -> Value<'_> {
        match FIELDS[*slot].0 {
            "data.pathname" => Value::text(b"/etc/Shadow.conf"),
            "data.cut" => Value::Text(Text { bytes: b"/tmp/aaa"[..].into(), cut: true }),
            "uid" => Value::Int(1000),
            "data.flags" => Value::Int(5),
            "data.ip" => Value::Ip(IpAddr::from([10, 1, 2, 3])),
            "data.argv" => Value::List(List::Terminated { raw: b"ls\0-l\0/etc\0", cut: false }),
            "ok" => Value::Bool(true),
            "labels.app" => Value::text(b"shop"),
            _ => Value::Unknown,
        }
    }
}

fn ask(text: &str) -> Truth {
    let parsed = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    compile(&parsed, &Fields).unwrap_or_else(|e| panic!("{text}: {e}")).of(&One)
}

fn refuse(text: &str) -> (String, usize, usize) {
    let error = parse(text).and_then(|parsed| compile(&parsed, &Fields)).expect_err(text);
    let (line, column) = error.at.place(text);
    (error.to_string(), line, column)
}

#[test]
fn what_holds() {
    for text in [
        "true",
        "!false && (true || false)",
        "data.pathname == '/etc/Shadow.conf'",
        "'/etc/Shadow.conf' == data.pathname",
        "data.pathname != 'x'",
        "data.pathname in ['/etc/Shadow.conf', 'b']",
        "!(data.pathname in SHELLS)",
        "data.pathname.startsWith('/etc/')",
        "data.pathname.startsWith('/usr/', '/etc/')",
        "data.pathname.startsWith(['/usr/', '/etc/'])",
        "data.pathname.endsWith('.conf')",
        "data.pathname.contains('Sha')",
        "data.pathname.contains('x', 'dow')",
        "data.pathname.lower().contains('shadow')",
        "data.pathname.lower() == '/etc/shadow.conf'",
        "data.pathname.lower() in ['/etc/shadow.conf']",
        "data.pathname.lower().endsWith('shadow.conf')",
        "data.pathname.matches('^/etc/.*[.]conf$')",
        "data.pathname.lower().matches('^/ETC')",
        "data.pathname.matches('^x$', 'Shadow')",
        "data.pathname.glob('/etc/*.conf')",
        "data.pathname.glob('/**/*.conf')",
        "!data.pathname.glob('/*.conf')",
        "data.pathname.like('/etc/S*w.c?nf', 'y')",
        "data.pathname.basename() == 'Shadow.conf'",
        "data.pathname.dirname() == '/etc'",
        "data.pathname.basename().entropy() > 3.2 && data.pathname.entropy() < 4.0",
        "'aaaa'.entropy() == 0.0 && 'abcd'.entropy() == 2.0 && ''.entropy() == 0.0",
        "data.pathname.upper() == '/ETC/SHADOW.CONF'",
        "data.pathname.replace('/', '') == 'etcShadow.conf'",
        "data.pathname.split('/')[1] == 'etc'",
        "data.argv.join(' ') == 'ls -l /etc'",
        "data.argv[1] == '-l' && data.argv[2].endsWith('etc')",
        "!has(data.argv[3])",
        "size(data.pathname) == 16 && data.argv.size() == 3",
        "uid == 1000 && uid >= 1000 && uid < 1001 && uid <= 1000 && uid > 999 && uid != 1",
        "1000 == uid && 999 < uid",
        "uid in [1, 1000]",
        "uid + 1 == 1001 && uid * 2 == 2000 && uid % 7 == 6 && uid / 3 == 333 && -uid == -1000",
        "uid < 1000.5 && 1.5 + 1 == 2.5",
        "0x3e8 == uid && 1000u == uid",
        "data.flags == 'READ|EXEC'",
        "data.flags.has('READ') && !data.flags.has('WRITE') && data.flags.has(4)",
        "data.flags.contains('EXEC')",
        "data.flags in ['READ', 'READ|EXEC']",
        "data.flags == 5",
        "string(uid) == '1000' && int('7') == 7",
        "data.ip == '10.1.2.3'",
        "data.ip in cidr('10.0.0.0/8') && !(data.ip in cidr('::/0', '11.0.0.0/8'))",
        "data.ip in ['10.0.0.0/8', '::1']",
        "string(data.ip) == '10.1.2.3'",
        "data.argv.exists(a, a == '-l')",
        "data.argv.all(a, size(a) > 1)",
        "data.argv.exists(a, data.argv.exists(b, a == '/' + 'etc' && b == 'ls'))",
        "'-l' in data.argv && data.argv.contains('ls')",
        "data.pathname.startsWith(data.argv[2])",
        "data.argv[0] in ['ls']",
        "ok && ok == true && ok != false",
        "ok ? uid == 1000 : uid == 0",
        "(ok ? 'a' : 'b') == 'a'",
        "has(uid) && !has(lost)",
        "known(ok) && known(ok || lost == 'x') && !known(!ok) && !known(lost == 'x') && !known(lost != 'x')",
        "labels['app'] == 'shop' && labels.app == 'shop'",
        "getEventData('pathname').startsWith('/etc')",
        "'a\\x62\\n\\u00e9\\101' == '''ab\néA''' // a comment",
        "r'\\d' == '\\\\d'",
        "'''a'b''' == \"a'b\"",
    ] {
        assert_eq!(ask(text), Truth::True, "{text}");
        assert_eq!(ask(&format!("!({text}\n)")), Truth::False, "not {text}");
    }
}

#[test]
fn what_is_not_known() {
    for text in [
        "lost == 'x'",
        "lost != 'x'",
        "!(lost == 'x')",
        "lost == 'x' && ok",
        "lost == 'x' || !ok",
        "lost.startsWith('x')",
        "lost in SHELLS",
        "data.cut == '/tmp/aaab'",
        "data.cut.endsWith('b')",
        "data.cut.contains('b')",
        "data.cut.startsWith('/tmp/aaab')",
        "data.cut in ['/tmp/aaab']",
        "data.cut.glob('/tmp/*')",
        "data.cut.matches('b')",
        "data.cut.basename() == 'x'",
        "size(data.cut) == 3",
        "data.cut.entropy() > 0.0",
        "data.argv[7] == 'x'",
        "uid / 0 == 1",
        "lost == 'x' ? true : true",
    ] {
        assert_eq!(ask(text), Truth::Unknown, "{text}");
    }
    for text in
        ["data.cut.startsWith('/tmp/')", "data.cut.contains('aaa')", "lost == 'x' || ok", "data.cut != '/x'"]
    {
        assert_eq!(ask(text), Truth::True, "{text}");
    }
    for text in
        ["data.cut == '/tmp/aaa'", "data.cut.startsWith('/usr')", "lost == 'x' && !ok", "data.cut in SHELLS"]
    {
        assert_eq!(ask(text), Truth::False, "{text}");
    }
}

#[test]
fn what_is_wrong_and_where() {
    for (text, message, column) in [
        ("data.pathnam == 'x'", "unknown field 'data.pathnam'; did you mean 'data.pathname'?", 1),
        ("ok && data.pathname == 5", "a text is compared with a number", 7),
        ("uid == 'root'", "a number is compared with a text", 1),
        ("uid", "a condition is missing: this is a number", 1),
        ("uid = 5", "unexpected '='; did you mean '=='?", 5),
        ("(uid == 5", "')' is missing after the bracket's expression, found the end", 10),
        ("uid == 5 uid", "unexpected 'uid' after the expression", 10),
        ("data.flags == 'REED'", "no number is called 'REED' here; did you mean 'READ'?", 15),
        ("data.pathname.startWith('x')", "unknown function 'startWith'; did you mean 'startsWith'?", 1),
        ("data.pathname.matches('(')", "no regular expression: unclosed group", 1),
        (
            "data.pathname.glob('[')",
            "no glob: error parsing glob '[': unclosed character class; missing ']'",
            1,
        ),
        (
            "data.ip in cidr('10.0.0.0/99')",
            "an address or network is wanted, such as 10.0.0.0/8; not '10.0.0.0/99'",
            17,
        ),
        (
            "data.ip == '10.0.0.0/8'",
            "an address is compared with a network; did you mean 'in cidr(...)'?",
            12,
        ),
        ("uid in ['a']", "a number can not be in a list of texts", 1),
        ("'x", "the text has no end: ' is missing", 1),
        (r"'\d'", r"unknown escape '\d'; did you mean '\\d'?", 2),
        ("12abc == 1", "'12abc' is no number", 1),
        ("[1, 'a'] == 1", "a list is of texts or of numbers, not of both", 5),
        ("data.pathname.lower() == 'X'", "a text in lower case never fits 'X'; did you mean 'x'?", 26),
        ("{'a': 1}", "maps and messages of CEL are not in the language", 1),
        ("uid.startsWith('1')", "'startsWith' is of texts: this is a number", 1),
        ("known(data.pathname)", "a condition is missing: this is a text", 7),
        ("known()", "'known' takes one argument, not 0", 1),
        ("data.argv.exists(1, true)", "the first argument of 'exists' is a name: list.exists(x, x == 1)", 1),
        ("has(uid, uid)", "'has' takes one argument, not 2", 1),
        ("", "an expression is missing, found the end", 1),
        ("uid == 5 &&", "an expression is missing, found the end", 12),
        ("getEventData('x') == 'a'", "no field 'x'", 1),
        ("uid + 'a' == 'b'", "'+' between a number and a text", 1),
    ] {
        let (said, line, at) = refuse(text);
        assert_eq!((said.as_str(), line, at), (message, 1, column), "{text}");
    }
    assert_eq!(refuse("ok &&\n  nothing").1, 2);
    assert_eq!(refuse("ok &&\n  nothing").2, 3);
}

#[test]
fn what_is_too_much() {
    let deep = format!("{}ok{}", "(".repeat(200), ")".repeat(200));
    assert!(refuse(&deep).0.contains("nested deeper"));
    assert!(refuse(&"!".repeat(200)).0.contains("nested deeper"));
    assert!(refuse(&vec!["ok"; 3000].join(" && ")).0.contains("in a row"));
    assert!(refuse(&format!("ok{}", ".a".repeat(200))).0.contains("in a row"));
    assert!(refuse(&format!("'{}'", "x".repeat(70_000))).0.contains("longer than"));
    assert!(
        refuse(&format!("data.pathname.matches('{}')", "(a{1000}){1000}"))
            .0
            .contains("no regular expression")
    );
    assert_eq!(ask(&vec!["ok"; 1000].join(" && ")), Truth::True);
}

#[test]
fn what_an_index_can_use() {
    let guard = |text: &str| {
        let condition = compile(&parse(text).expect("parses"), &Fields).expect("compiles");
        let shown = |key: index::Key| match key {
            index::Key::Int(n) => n.to_string(),
            index::Key::Text(text) => format!("is {}", String::from_utf8_lossy(&text)),
            index::Key::Start(text) => format!("starts {}", String::from_utf8_lossy(&text)),
            index::Key::Name(text) => format!("named {}", String::from_utf8_lossy(&text)),
            index::Key::Part(text) => format!("has {}", String::from_utf8_lossy(&text)),
        };
        let guard = condition.guard()?;
        let mut all: Vec<String> =
            guard.into_iter().map(|(slot, key)| format!("{slot} {}", shown(key))).collect();
        all.sort();
        Some(all.join(", "))
    };
    for (condition, expected) in [
        ("uid == 5 && data.pathname.startsWith('/a')", "2 5"),
        ("data.pathname.startsWith('/a') && ok", "0 starts /a"),
        ("data.pathname == 'a' && uid == 1", "0 is a"),
        ("data.pathname == 'a' || uid == 1", "0 is a, 2 1"),
        ("data.pathname.lower() == '/bin/a'", "0 named a"),
        ("data.pathname.endsWith('/NC', '/a/b')", "0 named b, 0 named nc"),
        ("data.pathname.basename() in ['a', 'B']", "0 named a, 0 named b"),
        ("data.pathname.matches('^/(etc|run)/x')", "0 starts /etc/x, 0 starts /run/x"),
        ("data.pathname.matches('/\\\\.ssh/keys2?$')", "0 named keys, 0 named keys2"),
        ("data.pathname.matches('^/etc/|/[.]netrc$')", "0 named .netrc, 0 starts /etc/"),
        ("data.pathname.contains('/A')", "0 has /a"),
        ("data.pathname.lower().contains('ab', 'cd')", "0 has ab, 0 has cd"),
        ("data.pathname.endsWith('ab')", "0 has ab"),
        ("data.pathname.basename().startsWith('ab')", "0 has ab"),
        ("data.pathname.matches('(^|/)(ncat|socat) .*-e')", "0 has ncat , 0 has socat "),
        ("data.pathname.matches('x?(?i)etc')", "0 has etc"),
        ("data.pathname.matches('[a-z]*=(ab+|cd)')", "0 has =ab, 0 has =cd"),
        ("data.pathname.matches('^/etc|/b.d')", "0 has /b, 0 starts /etc"),
        ("data.pathname.matches('(?m)^/etc')", "0 has /etc"),
        ("data.argv.exists(a, a == 'x' || a.startsWith('--y'))", "5 is x, 5 starts --y"),
    ] {
        assert_eq!(guard(condition).as_deref(), Some(expected), "{condition}");
    }
    for condition in [
        "uid != 5",
        "data.pathname == 'a' || ok",
        "data.pathname.contains('/')",
        "data.pathname.endsWith('a')",
        "data.pathname.endsWith('/')",
        "data.pathname.matches('e.*x')",
        "data.pathname.matches('(etc)?x?$')",
        "data.pathname.dirname().contains('abc')",
        "data.argv.all(a, a == 'x')",
        "data.argv.exists(a, uid == 5)",
        "!(uid == 5)",
    ] {
        assert_eq!(guard(condition), None, "{condition}");
    }
}

/// A subject of one text.
struct Path(Value<'static>);

impl Subject for Path {
    type Slot = usize;

    fn get(&self, slot: &usize) -> Value<'_> {
        if *slot == 0 { self.0.clone() } else { Value::Unknown }
    }
}

#[test]
fn constants_are_folded() {
    let constant = |text: &str| compile(&parse(text).expect("parses"), &Fields).expect("compiles").constant();
    assert_eq!(constant("'a' + 'b' == 'ab' && 1 + 1 < 3"), Some(Truth::True));
    assert_eq!(constant("ok || true"), Some(Truth::True));
    assert_eq!(constant("ok && 1 == 2"), Some(Truth::False));
    assert_eq!(constant("ok"), None);
}

proptest! {
    /// Whatever is written, there is an answer, or an error within the text.
    #[test]
    fn anything_may_be_written(text in "[a-z0-9 .'\"()\\[\\]!&|=<>+*/%?:,\\\\é-]{0,60}") {
        match parse(&text).and_then(|parsed| compile(&parsed, &Fields)) {
            Ok(condition) => { condition.of(&One); }
            Err(error) => prop_assert!(error.at.start <= error.at.end && error.at.end <= text.len()),
        }
    }

    /// Who is not found by an index is not met.
    #[test]
    fn an_index_finds_all_that_may_hold(
        conditions in prop::collection::vec(of_path(), 1..8),
        text in "[/aAb.]{0,6}",
        cut: bool,
    ) {
        let compiled: Vec<_> = conditions.iter().map(|c| compile(&parse(c).expect(c), &Fields).expect(c)).collect();
        let index = Index::new(compiled.iter().map(Some).enumerate());
        let path = Path(Value::Text(Text { bytes: text.clone().into_bytes().into(), cut }));
        let mut found = vec![];
        index.candidates(&path, &mut found);
        prop_assert!(found.is_sorted_by(|a, b| a < b));
        for (n, condition) in compiled.iter().enumerate() {
            prop_assert!(condition.of(&path) == Truth::False || found.contains(&n), "{} of {text}", conditions[n]);
        }
    }

    /// What is put together of parts that are in the language.
    #[test]
    fn anything_sound_is_asked(text in expression()) {
        let condition = compile(&parse(&text).expect("it is in the language"), &Fields).expect("it has types");
        let not = compile(&parse(&format!("!({text})")).expect("it is in the language"), &Fields).expect("it has types");
        prop_assert_eq!(condition.of(&One), !not.of(&One));
    }
}

/// Conditions on a path.
fn of_path() -> impl Strategy<Value = String> {
    let text = "[/aAb.]{1,3}";
    let one = (0..15, text, text).prop_map(|(which, a, b)| match which {
        0 => format!("data.pathname == '{a}'"),
        1 => format!("data.pathname.startsWith('{a}', '{b}')"),
        2 => format!("data.pathname.endsWith('{a}', '/{b}')"),
        3 => format!("data.pathname.lower() in ['{}', '{}']", a.to_lowercase(), b.to_lowercase()),
        4 => format!("data.pathname.basename() in ['{a}', '{b}']"),
        5 => format!("data.pathname.matches('^{a}|/{b}$')"),
        7 => format!("data.pathname.contains('{a}', '{b}')"),
        8 => format!("data.pathname.lower().contains('{}')", a.to_lowercase()),
        9 => format!("data.pathname.matches('{a}.?({b}|a?)')"),
        10 => format!("data.pathname.matches('(?i)x?({a}|{b}|.b)+/')"),
        11 => format!("data.pathname.matches('(^|/){a}(.*{b})?')"),
        12 => format!("data.pathname.basename().endsWith('{a}')"),
        13 => format!("data.pathname.like('*{a}?{b}*')"),
        6 => format!("data.pathname.matches('^({a}|{b})a?')"),
        _ => format!("data.pathname.lower().endsWith('/{}')", a.to_lowercase()),
    });
    one.prop_recursive(2, 6, 2, |inner| {
        (inner.clone(), prop::sample::select(vec!["&&", "||"]), inner)
            .prop_map(|(a, op, b)| format!("({a} {op} {b})"))
    })
}

fn expression() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(vec![
        "ok",
        "true",
        "uid == 1000",
        "uid > 5",
        "data.pathname.startsWith('/etc')",
        "lost == 'x'",
        "data.cut.contains('q')",
        "data.argv.exists(a, a == '-l')",
        "data.ip in cidr('10.0.0.0/8')",
        "has(lost)",
        "data.pathname in SHELLS",
    ])
    .prop_map(str::to_owned);
    atom.prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}
