// Writes names.txt: the segments, fields and data types of HL7 v2.1 to v2.8 by name, and the meanings of table codes.
//
//     cp generate.mjs names/ && cd names && npm install --ignore-scripts hl7v2-dictionary@1.8.0 hl7-dictionary@1.0.1
//     node generate.mjs > names.txt
//
// Sources, both MIT: `hl7v2-dictionary` 1.8.0 for the names, `hl7-dictionary` 1.0.1 for the codes.
//
// One line is one thing with its history; fields of a line are separated by tabs:
//
//     # text                       a comment
//     V 2.1 2.2 …                  the versions; below, the first is the letter a
//     S PID  aName  cName          a segment: its name from version a on, and another from c on
//     D CX   aName                 a data type, the same way
//     3      aCK Name  cCX/61 Name field or component of the last: data type, /table where there is one, name
//     T 1    Name                  a table
//     F      Female                code and meaning of the last table
import {dictionaries} from 'hl7v2-dictionary';
import old from 'hl7-dictionary';

const versions = Object.keys(dictionaries);
const letter = (at) => String.fromCharCode(97 + at);
// Some names carry a dash that was read in the wrong character set, a footnote's mark, or say that a segment is one.
const clean = (text) => text.replace(/\s*вЂ“\s*/g, ' - ').replace(/\s+/g, ' ').trim()
  .replace(/( segment-?| [+*#])$/i, '');
// A code's meaning without its commentary.
const short = (text) => clean(text).replace(/^[A-Z/]+ - ?/, '').replace(/(?<=\w)(; |\. |: | \().*$/, '');

// What the sources have wrong. OBX-5 is of the type that OBX-2 names; the first component of TS is a time.
const TYPES = {'OBX-5': 'VARIES', 'TS-1': 'DTM'};
// The same in one version, type and name.
const IN_VERSION = {
  '2.2 PID-2': ['CK', 'Patient ID (External ID)'],
  '2.2 PID-3': ['CM_PAT_ID', 'Patient ID (Internal ID)'],
  '2.3 PID-2': ['CX', 'Patient ID (External ID)'],
  '2.3 PID-3': ['CX', 'Patient ID (Internal ID)'],
  '2.3 MRG-7': ['XPN', 'Prior Patient Name'],
};
// A component whose table the sources tell from 2.5 on only.
const TABLES = {'MSG-2': 3, 'CM_MSG-2': 3};

// Segments of no version, by the API specification that NOTICE names.
const OWN = {
  ZAP: ['Appointment management', {1: ['ST', 'Management URL']}],
  ZRX: ['Medication', {
    1: ['TQ', 'Repeat pattern, start and end'], 2: ['CE', 'Product'], 3: ['NM', 'Dose quantity'], 5: ['CE', 'Dose unit'],
  }],
  ZTM: ['Teams', {1: ['ST', 'Teams to add'], 2: ['ST', 'Teams to remove']}],
  ZVN: ['Event to update', {1: ['ID/3', 'Event to update'], 6: ['TS', 'Time of the transfer to update']}],
};

const plain = (text) => text.toLowerCase().replace(/[^a-z0-9/ ]| (?=s\b)/g, '').replace(/ +/g, ' ');

/** The history of one thing as `aText`, `cText`. Capitals and punctuation are no news; the last spelling is taken. */
function history(texts) {
  const found = [];
  texts.forEach((text, at) => {
    if (text === undefined) return;
    const last = found.at(-1);
    if (last && plain(last.text) === plain(text)) last.text = text;
    else found.push({at, text});
  });
  return found.map(({at, text}) => letter(at) + text);
}

function parts(kind, name) {
  const all = versions.map((version) => dictionaries[version][kind][name]?.fields ?? {});
  const numbers = new Set(all.flatMap((fields) => Object.keys(fields).map(Number)));
  return [...numbers].sort((a, b) => a - b).map((n) => {
    const key = `${name}-${n}`;
    const texts = all.map((fields) => fields[n]).map((field, at) => {
      if (!field) return undefined;
      const [type, name] = IN_VERSION[`${versions[at]} ${key}`] ?? [TYPES[key] ?? field.type, clean(field.desc)];
      const table = field.table ?? TABLES[key];
      return `${type}${table ? '/' + table : ''} ${name}`;
    });
    return [n, ...history(texts)].join('\t');
  });
}

function things(kind, sign) {
  const names = [...new Set(versions.flatMap((version) => Object.keys(dictionaries[version][kind])))].sort();
  return names.flatMap((name) => {
    const texts = versions.map((version) => dictionaries[version][kind][name]).map((it) => it && clean(it.desc ?? ''));
    return [[`${sign} ${name}`, ...history(texts)].join('\t'), ...parts(kind, name)];
  });
}

/** Tables whose codes HL7 defines (fields of type ID), and those of user-defined tables that everybody uses alike: where
 *  a site has codes of its own, HL7's suggestions would mislead. */
function tables() {
  const wanted = new Set([1, 4, 63, 78, 127, 128]);
  for (const version of versions.slice(versions.indexOf('2.5'))) {
    const {segments, types} = dictionaries[version];
    for (const thing of [...Object.values(segments), ...Object.values(types)]) {
      for (const field of Object.values(thing.fields ?? {})) {
        if (field.type === 'ID' && field.table) wanted.add(field.table);
      }
    }
  }
  // Message types and structures, versions, character sets and names of code systems mean themselves.
  for (const table of [76, 104, 211, 354, 396]) wanted.delete(table);
  return [...wanted].sort((a, b) => a - b).flatMap((number) => {
    const table = old.tables[number];
    const codes = Object.entries(table?.values ?? {})
      .map(([code, meaning]) => [code.trim(), short(String(meaning))])
      .filter(([code, meaning]) => meaning && meaning !== code && !/\s|\.\./.test(code));
    return codes.length ? [`T ${number}\t${clean(table.desc)}`, ...codes.map((code) => code.join('\t'))] : [];
  });
}

const own = Object.entries(OWN).flatMap(([name, [title, fields]]) =>
  [`S ${name}\ta${title}`, ...Object.entries(fields).map(([n, [type, text]]) => `${n}\ta${type} ${text}`)]);
console.log([
  '# HL7 v2 names and codes. Sources: hl7v2-dictionary 1.8.0, hl7-dictionary 1.0.1 (MIT). Written by generate.mjs.',
  'V ' + versions.join(' '),
  ...things('segments', 'S'), ...own, ...things('types', 'D'), ...tables(),
].join('\n'));
