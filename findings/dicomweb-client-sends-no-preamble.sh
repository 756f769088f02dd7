#!/usr/bin/env bash
# dicomweb-client stores a dataset that was made in memory as something that is no DICOM file.
#
# A dataset with complete file meta information but without a preamble, as Dataset() makes it, goes out by
# store_instances of dicomweb-client 0.61.2 without the 128 bytes and the letters DICM. PS3.18 wants PS3.10 files there.
# A server that stores the bytes as they are reports success; the client itself then cannot read them (a loopback server
# here gives back what it got). With data.preamble = bytes(128) the same dataset is read back.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check dicomweb-client==0.61.2 pydicom==3.0.2
cat > look.py <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

stored = []


class Server(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        edge = b"\r\n--" + self.headers["Content-Type"].split("boundary=")[1].split(";")[0].strip('"').encode()
        stored.append(body.partition(b"\r\n\r\n")[2].partition(edge)[0])
        self.answer(json.dumps(Dataset().to_json_dict()).encode(), "application/dicom+json")

    def do_GET(self):
        head = b"--edge\r\nContent-Type: application/dicom\r\n\r\n"
        self.answer(head + stored[-1] + b"\r\n--edge--\r\n", 'multipart/related; type="application/dicom"; boundary=edge')


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = DICOMwebClient(f"http://127.0.0.1:{server.server_port}")
data = Dataset()
data.file_meta = FileMetaDataset()
data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = SecondaryCaptureImageStorage
data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
data.StudyInstanceUID, data.SeriesInstanceUID, data.PatientID, data.Modality = generate_uid(), generate_uid(), "1", "OT"
found = {}
for preamble in (None, bytes(128)):
    if preamble is not None:
        data.preamble = preamble
    client.store_instances([data])
    try:
        again = client.retrieve_instance(data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID)
        read = "read back" if again.PatientID == "1" else "read wrongly"
    except Exception as error:
        read = f"{type(error).__name__}: {str(error)[:60]}"
    found[preamble is not None] = stored[-1][128:132] == b"DICM", read
    print(f"preamble {'set' if preamble else 'not set'}: DICM at byte 128: {found[preamble is not None][0]}; {read}")
assert found[True] == (True, "read back")
assert not found[False][0] and found[False][1].startswith("InvalidDicomError"), "dicomweb-client changed"
print("As described.")
PY
env/bin/python look.py
