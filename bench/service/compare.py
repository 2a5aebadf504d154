#!/usr/bin/env python3
"""Throughput and latency of POST /crop (the old contract) on any servers, in turns.

    bench/service/compare.py itemcrop=http://127.0.0.1:8000 legacy=http://127.0.0.1:8001 \
        --photo look.jpg --categories "shirt,pants,shoes" --clients 1,8,64 --seconds 20

Each must first answer the photo with crops. Servers take turns at each number of clients, so that a
change of the machine meets all.
"""

import argparse
import base64
import json
import pathlib
import tempfile
import urllib.request

import generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("servers", nargs="+", metavar="NAME=URL")
    parser.add_argument("--photo", type=pathlib.Path, required=True)
    parser.add_argument("--categories", default="shirt,pants,shoes")
    parser.add_argument("--clients", default="1,8,64")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    servers = dict(server.split("=", 1) for server in arguments.servers)
    body = json.dumps(
        {
            "imageBase64": base64.b64encode(arguments.photo.read_bytes()).decode(),
            "categories": arguments.categories.split(","),
        }
    ).encode()
    results = []
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(body)
        file.flush()
        for name, url in servers.items():
            request = urllib.request.Request(f"{url}/crop", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=300) as answer:
                crops = json.load(answer)
            print(f"{name}: {len(crops.get('croppedImageUrls') or [crops.get('croppedImageUrl')])} crops")
        print("server          clients  photos/s   p50 ms   p99 ms  rejected  failed")
        for clients in map(int, arguments.clients.split(",")):
            for name, url in servers.items():
                request = generator.Request(f"{url}/crop", pathlib.Path(file.name), "application/json")
                generator.run(request, clients, min(3, arguments.seconds))
                samples = generator.run(request, clients, arguments.seconds)
                good = [sample for sample in samples if sample.status == 200]
                times = [sample.seconds * 1000 for sample in good]
                span = max([arguments.seconds, *(sample.start + sample.seconds for sample in good)])
                rejected = sum(sample.status == 429 for sample in samples)
                results.append(
                    {
                        "server": name,
                        "clients": clients,
                        "photos_per_second": round(len(good) / span, 2),
                        "p50_ms": round(generator.percentile(times, 0.5), 1),
                        "p99_ms": round(generator.percentile(times, 0.99), 1),
                        "rejected": rejected,
                        "failed": len(samples) - len(good) - rejected,
                    }
                )
                print(
                    "{server:15} {clients:7} {photos_per_second:9.2f} {p50_ms:8.1f} {p99_ms:8.1f} {rejected:9} "
                    "{failed:7}".format(**results[-1]),
                    flush=True,
                )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
