"""Plants as Gymnasium environments, each with its analytic torch model; importing this package registers them."""

from trajopt_sgp.envs.cartpole import CartPoleSwingUpEnv as CartPoleSwingUpEnv
from trajopt_sgp.envs.cartpole_dynamics import CartPoleDynamics as CartPoleDynamics
from trajopt_sgp.envs.cartpole_dynamics import cartpole_swing_up_cost as cartpole_swing_up_cost
from trajopt_sgp.envs.cartpole_equations import CartPoleParameters as CartPoleParameters
from trajopt_sgp.envs.cartpole_sampling import sample_transitions as sample_transitions
from trajopt_sgp.envs.pendulum import PendulumKeypointsEnv as PendulumKeypointsEnv
from trajopt_sgp.envs.pendulum_dynamics import PendulumDynamics as PendulumDynamics
from trajopt_sgp.envs.pendulum_dynamics import PendulumKeypointDynamics as PendulumKeypointDynamics
from trajopt_sgp.envs.pendulum_dynamics import pendulum_swing_up_cost as pendulum_swing_up_cost
from trajopt_sgp.envs.pendulum_equations import PendulumParameters as PendulumParameters
from trajopt_sgp.envs.pendulum_sampling import sample_pendulum_transitions as sample_pendulum_transitions
from trajopt_sgp.envs.planar_pusher import PlanarPusherEnv as PlanarPusherEnv
from trajopt_sgp.envs.planar_pusher import PusherRandomization as PusherRandomization
from trajopt_sgp.envs.planar_worlds import CORRIDOR as CORRIDOR
from trajopt_sgp.envs.planar_worlds import LIGHT_DARK as LIGHT_DARK
from trajopt_sgp.envs.planar_worlds import WORLDS as WORLDS
from trajopt_sgp.envs.planar_worlds import PlanarWorld as PlanarWorld
from trajopt_sgp.envs.planar_worlds import depth_outside as depth_outside
from trajopt_sgp.envs.planar_worlds import find_world as find_world
from trajopt_sgp.envs.planar_worlds import segments_outside as segments_outside
from trajopt_sgp.envs.point_mass import PointMassEnv as PointMassEnv
from trajopt_sgp.envs.point_mass_dynamics import PointMassDynamics as PointMassDynamics
from trajopt_sgp.envs.point_mass_sampling import sample_circle as sample_circle
from trajopt_sgp.envs.point_mass_sampling import sample_point_mass_transitions as sample_point_mass_transitions
from trajopt_sgp.envs.pusher_demonstrations import collect_pusher_demonstrations as collect_pusher_demonstrations
from trajopt_sgp.envs.pusher_dynamics import PusherDynamics as PusherDynamics
from trajopt_sgp.envs.pusher_dynamics import PusherKeypointDynamics as PusherKeypointDynamics
from trajopt_sgp.envs.pusher_dynamics import keypoint_goal_cost as keypoint_goal_cost
from trajopt_sgp.envs.pusher_dynamics import pusher_casadi as pusher_casadi
from trajopt_sgp.envs.pusher_dynamics import pusher_frame as pusher_frame
from trajopt_sgp.envs.pusher_equations import PusherParameters as PusherParameters
from trajopt_sgp.envs.pusher_guidance import PushGuide as PushGuide
from trajopt_sgp.envs.pusher_guidance import PushProposals as PushProposals
from trajopt_sgp.envs.registration import CARTPOLE_SWING_UP_ID as CARTPOLE_SWING_UP_ID
from trajopt_sgp.envs.registration import CORRIDOR_ID as CORRIDOR_ID
from trajopt_sgp.envs.registration import LIGHT_DARK_ID as LIGHT_DARK_ID
from trajopt_sgp.envs.registration import PENDULUM_KEYPOINTS_ID as PENDULUM_KEYPOINTS_ID
from trajopt_sgp.envs.registration import PLANAR_PUSHER_ID as PLANAR_PUSHER_ID
from trajopt_sgp.envs.registration import register_environments as register_environments

register_environments()
