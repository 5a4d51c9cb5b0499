#!/usr/bin/env python3
"""Write r4-elements.txt, the element table of FHIR R4 (4.0.1), from HL7's published definitions.

Argument: the packed definitions (JSON, gzip): {"types": {name: {"k", "a", "e"}}, "valuesets": {...}}, made from
profiles-types.json, profiles-resources.json and valuesets.json of the FHIR specification (CC0 1.0).

    python3 generate.py fhir-r4-defs.json.gz > r4-elements.txt

One line is one thing; fields are separated by one space, codes of a value set by tabs:

    # text                               a comment
    R Account ActivityDefinition ...     every concrete resource type of R4, also those without elements here
    V name                               a value set with a required binding; its systems follow
    S system<TAB>code<TAB>code ...       codes of one code system in the last value set
    T name kind                          a type: r resource, c data type, b backbone of a resource or data type
    name card type [=value set] [>targets] [~choice]
                                         an element of the last type: card is ? 0..1, 1 1..1, * 0..*, + 1..*

A choice element (`value[x]`) has one line for each concrete name, marked ~value.
"""
import gzip
import json
import sys

RESOURCES = """
Account AllergyIntolerance Appointment AuditEvent Basic Binary Bundle CapabilityStatement CarePlan CareTeam
Communication CommunicationRequest Composition Condition Consent Coverage Device DiagnosticReport DocumentReference
Encounter Endpoint EpisodeOfCare Flag Group HealthcareService ImagingStudy Immunization List Location Medication
MedicationAdministration MedicationRequest MedicationStatement MessageHeader Observation OperationOutcome Organization
Parameters Patient Person Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse
RelatedPerson Schedule ServiceRequest Slot Specimen Task
""".split()

# Some copies of the definitions carry elements of their publisher's own, or of later releases. They are not R4.
NOT_R4 = {"Meta.project", "Meta.author", "Meta.onBehalfOf", "Meta.account", "Meta.accounts", "Meta.compartment",
          "Meta.deleted", "Binary.url", "HealthcareService.offeredIn"}

CARDS = {(0, False): "?", (1, False): "1", (0, True): "*", (1, True): "+"}
MIME = "http://hl7.org/fhir/ValueSet/mimetypes"


def type_name(owner, element, code, children, resource):
    """The name of the type of an element's value, as the table spells it."""
    path = element["p"]
    if "r" in element:
        return element["r"]
    if path in children:
        return path
    if code == "system:String":
        if path == "Extension.url":
            return "uri"
        return "id" if resource and path == owner + ".id" else "string"
    return code


def value_set(url, defs):
    """The name of a value set if its codes are known, `mimetypes` for the one that is a grammar, else None."""
    if url == MIME:
        return "mimetypes"
    return url.rsplit("/", 1)[1] if defs["valuesets"].get(url) else None


def lines_of(owner, defs, used):
    definition = defs["types"][owner]
    resource = definition["k"] == "r"
    known = {n for n, t in defs["types"].items() if t["k"] == "r"}
    children = {}
    for element in definition["e"]:
        if "." in element["p"]:
            children.setdefault(element["p"].rsplit(".", 1)[0], []).append(element)
    for parent, elements in children.items():
        yield "T %s %s" % (parent, "b" if parent != owner else "r" if resource else "c")
        for element in elements:
            if element["x"] == "0" or element["p"] in NOT_R4:
                continue
            name = element["p"].rsplit(".", 1)[1]
            choice = name[:-3] if name.endswith("[x]") else None
            for kind in element.get("t") or [[None]]:
                code = kind[0]
                concrete = choice + code[0].upper() + code[1:] if choice else name
                fields = [concrete, CARDS[min(element["n"], 1), element["x"] != "1"]]
                fields.append(type_name(owner, element, code, children, resource))
                strength, url = element.get("b", ["", ""])
                named = value_set(url, defs) if strength == "r" else None
                if named and code in ("code", "uri", "string", "Coding", "CodeableConcept", "Quantity"):
                    fields.append("=" + named)
                    used.add(url)
                # Targets that are no R4 resource type are left out for the same reason as NOT_R4.
                targets = set(kind[1]) & known if code == "Reference" and len(kind) > 1 else set()
                if element["p"] == "AuditEvent.source.observer":
                    targets.discard("Subscription")
                if targets and "Resource" not in targets:
                    fields.append(">" + ",".join(sorted(targets)))
                if choice:
                    fields.append("~" + choice)
                yield " ".join(fields)


def main(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        defs = json.load(file)
    types = defs["types"]
    # BackboneElement and Element stand for themselves: `_birthDate` siblings are Elements.
    names = [n for n, t in types.items() if t["k"] == "c" and n != "BackboneElement"]
    used, body = set(), []
    for name in sorted(names) + RESOURCES:
        body += lines_of(name, defs, used)
    print("# FHIR R4 (4.0.1) elements. Source: HL7's published R4 definitions (CC0 1.0). Written by generate.py.")
    # SubscriptionStatus is of R4B; some copies of the R4 definitions have it.
    concrete = {n for n, t in types.items() if t["k"] == "r" and not t["a"]} - {"SubscriptionStatus"}
    print("R " + " ".join(sorted(concrete)))
    for url in sorted(used, key=lambda u: u.rsplit("/", 1)[1]):
        if url == MIME:
            continue
        print("V " + url.rsplit("/", 1)[1])
        systems = {}
        for system, codes in defs["valuesets"][url]:
            systems.setdefault(system, []).extend(codes)
        for system, codes in systems.items():
            print("S " + "\t".join([system] + codes))
    print("\n".join(body))


if __name__ == "__main__":
    main(sys.argv[1])
