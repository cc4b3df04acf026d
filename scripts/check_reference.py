"""Names the enumerators that the reference says nothing of, which Doxygen itself does not mind.

scripts/check_reference.py build/docs/cpp/xml
"""

import sys
from pathlib import Path
from xml.etree import ElementTree


def undocumented(folder: Path) -> list[str]:
    return [
        f"{enumeration.findtext('qualifiedname')}::{value.findtext('name')}"
        for file in sorted(folder.glob("*.xml"))
        for enumeration in ElementTree.parse(file).iterfind(".//memberdef[@kind='enum']")
        if enumeration.get("prot") == "public"
        for value in enumeration.iterfind("enumvalue")
        if not described(value)
    ]


def described(value: ElementTree.Element) -> bool:
    parts = (value.find("briefdescription"), value.find("detaileddescription"))
    return any("".join(part.itertext()).strip() for part in parts if part is not None)


if __name__ == "__main__":
    found = undocumented(Path(sys.argv[1]))
    for name in found:
        print(f"{name} is not documented.")
    sys.exit(bool(found))
