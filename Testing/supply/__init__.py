"""What the software is made of: a bill of materials, licences, known vulnerabilities."""
