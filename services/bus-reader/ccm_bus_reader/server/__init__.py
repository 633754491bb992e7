"""The Modbus server: the gateway's own registers, and its lines shared with other masters."""
