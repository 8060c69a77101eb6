"""Signs a released image and its bill of materials, in the form that cosign verifies.

    python .ci/sign.py --image REPOSITORY@sha256:… --key cosign.key.pem [--bill FILE] [--out build/signed]

The key is an ECDSA P-256 key in PEM, without a passphrase, kept by whoever releases (`openssl ecparam -name prime256v1
-genkey -noout -out cosign.key.pem`). Written are: `payload.json`, the simple signing payload that names the image by
its digest; `payload.sig`, its signature; `bill.sig`, that of the bill of materials; `cosign.pub`, the public key. What
puts the first two beside the image in its registry, and how anybody verifies all of it, is printed: both need no key.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

IMAGE = re.compile(r"(?P<repository>[a-z0-9][a-z0-9._/:-]*)@(?P<digest>sha256:[0-9a-f]{64})")


def payload(image: str) -> bytes:
    """What is signed of an image. Raises `ValueError` for one that is not named by its digest."""
    named = IMAGE.fullmatch(image)
    if named is None:
        raise ValueError(f"{image!r} is no image by digest: REPOSITORY@sha256:… (a tag may mean another one tomorrow)")
    said = {
        "critical": {
            "identity": {"docker-reference": named["repository"]},
            "image": {"docker-manifest-digest": named["digest"]},
            "type": "cosign container image signature",
        },
        "optional": None,
    }
    return json.dumps(said, separators=(",", ":")).encode()


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """A signature over the SHA-256 of `data`, as cosign writes it: ASN.1, in base64."""
    return base64.b64encode(key.sign(data, ec.ECDSA(hashes.SHA256())))


def read(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key of a file. Raises `ValueError` for another kind."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"{path} holds no ECDSA P-256 key")
    return key


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True)
    parser.add_argument("--key", required=True, type=Path)
    parser.add_argument("--bill", type=Path, default=Path("build/hapenny.cdx.json"))
    parser.add_argument("--out", type=Path, default=Path("build/signed"))
    given = parser.parse_args()
    try:
        said, key, bill = payload(given.image), read(given.key), given.bill.read_bytes()
    except (OSError, ValueError, TypeError) as error:
        sys.exit(f"sign: {error}")
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    files = {"payload.json": said, "payload.sig": sign(key, said), "bill.sig": sign(key, bill), "cosign.pub": public}
    for name, data in files.items():
        (out / name).write_bytes(data)
    print(f"cosign attach signature --payload {out}/payload.json --signature {out}/payload.sig {given.image}")
    print(f"cosign verify --key {out}/cosign.pub --insecure-ignore-tlog=true {given.image}")
    print(
        f"cosign verify-blob --key {out}/cosign.pub --signature {out}/bill.sig --insecure-ignore-tlog=true {given.bill}"
    )


if __name__ == "__main__":
    main()
