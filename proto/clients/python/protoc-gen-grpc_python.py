"""The generator of grpcio's stubs as a plugin: grpcio-tools has it inside of its protoc only."""

import pathlib
import sys
import tempfile

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc

request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
files = descriptor_pb2.FileDescriptorSet(file=request.proto_file)
response = plugin_pb2.CodeGeneratorResponse(
    supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
)
with tempfile.TemporaryDirectory() as name:
    directory = pathlib.Path(name)
    (directory / "set").write_bytes(files.SerializeToString())
    code = protoc.main(
        [
            "protoc",
            f"--descriptor_set_in={directory / 'set'}",
            f"--grpc_python_out={directory}",
            *request.file_to_generate,
        ]
    )
    if code:
        sys.exit(code)
    for path in sorted(directory.rglob("*.py")):
        response.file.add(name=str(path.relative_to(directory)), content=path.read_text())
sys.stdout.buffer.write(response.SerializeToString())
